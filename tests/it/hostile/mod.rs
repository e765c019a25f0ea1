//! What a hostile receiver, client or publisher can do: nothing that reaches further than itself.

mod addresses;
mod bodies;
mod broker;
mod campaign;
mod connections;
mod headers;
mod receivers;
