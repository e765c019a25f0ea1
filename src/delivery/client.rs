//! The HTTP client: no redirects, no proxies, no tries of its own, and every address through the guard.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder};

use super::guard::Guard;
use super::pool::Options;

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("http client: {0}")]
pub struct BuildError(#[from] reqwest::Error);

/// What every client of ours has in common.
pub(super) fn client(options: &Options, guard: &Guard) -> ClientBuilder {
    Client::builder()
        .connect_timeout(options.connect_timeout)
        .timeout(options.request_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // Tries are the queues' business, and a client that may try again copies every request first.
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .no_proxy()
        .tcp_nodelay(true)
        .dns_resolver(Arc::new(guard.clone()))
}
