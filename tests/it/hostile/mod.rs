//! Hostile receivers, clients and publishers affect only themselves.

mod addresses;
mod bodies;
mod broker;
mod campaign;
mod connections;
mod headers;
mod receivers;
