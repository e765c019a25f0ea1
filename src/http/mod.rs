//! The management API: KAZOO's envelope, errors and documents over one listener.
//!
//! Every refusal has KAZOO's error body with the right status and names the field; nothing panics. A request goes
//! through `serve` (wire), `answer` (checks, in KAZOO's order), `route`, and the file of its resource.

mod accounts;
mod admin;
mod admin_paths;
mod answer;
mod answers;
mod api;
mod api_keys;
mod attempts;
mod audit;
mod bearer;
mod body;
mod bulk;
mod call;
mod channels;
mod console_links;
mod curl;
mod dead;
mod definitions;
mod envelope;
mod errors;
mod event_filter;
mod events;
mod fields;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod health;
mod hook_document;
mod hook_status;
mod import;
mod inbox;
mod intake;
mod interface;
mod list;
mod log_in;
mod memory;
mod metrics;
mod mode;
mod negotiate;
mod openapi;
mod operator;
mod options;
mod overview;
mod pages;
mod pause;
mod pieces;
mod ports;
mod queue;
mod reenable;
mod release;
mod replays;
mod reply;
mod request;
mod resource;
mod response;
mod route;
mod samples;
mod search;
mod serve;
mod site;
mod status;
mod tenants;
mod test_hook;
mod users;
mod verify;
mod waiting;
mod webhooks;
mod websockets;

#[cfg(test)]
mod route_tests;
#[cfg(test)]
mod tests;

pub use api::{Api, Ports};
pub use operator::{
    BrokerSeen, Flow, Held, Hour, LogStatus, ModeRefusal, ModeStart, ModeStatus, Operator, Retained, Setting,
    Status, Visitor,
};
pub use options::{ApiOptions, KazooOwns, Profile};
pub use ports::{
    Answer, AttemptsError, Channels, Events, Fault, Health, NewEvent, Queues, Readiness, ReplayError,
    RequestKey, Signed, SubmitError, Tester,
};
pub use serve::{BindError, Server};
pub use site::{ApiResponse, Ask, Content, Page, Site, Socket, Visit};
