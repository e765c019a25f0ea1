//! A minimal browser for the console: it keeps the session's cookie, follows no redirect, sends
//! forms from pages, and sets their `Origin`.

use std::net::SocketAddr;

use crate::support::app::MASTER_KEY;

/// The browser of one person.
pub struct Browser {
    base: String,
    client: reqwest::Client,
    pub cookie: String,
}

/// The program's response.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub location: String,
    pub set_cookie: String,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Browser {
    /// A browser in which nobody is logged in.
    pub fn new(address: SocketAddr) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { base: format!("http://{address}"), client, cookie: String::new() }
    }

    /// A browser in which the operator is logged in.
    pub async fn operator(address: SocketAddr) -> Self {
        let mut browser = Self::new(address);
        let got = browser.log_in(&[("api_key", MASTER_KEY)]).await;
        assert_eq!((got.status, got.location.as_str()), (303, "/console/"), "{got:?}");
        browser
    }

    /// Sends the log-in form and keeps the cookie.
    pub async fn log_in(&mut self, fields: &[(&str, &str)]) -> Got {
        let got = self.post("/console/login", fields).await;
        if let Some(cookie) = got.set_cookie.split(';').next().filter(|_| got.status == 303) {
            cookie.clone_into(&mut self.cookie);
        }
        got
    }

    /// Opens a page.
    pub async fn get(&self, path: &str) -> Got {
        self.send("GET", path, None, &[("accept", "text/html")]).await
    }

    /// Sends a form from a page of the console.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        let base = self.base.clone();
        self.send("POST", path, Some(fields), &[("origin", &base)]).await
    }

    /// Opens a page, and sends its form's token with these fields.
    pub async fn submit(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Got {
        let token = self.get(page).await.form_token();
        let fields: Vec<_> = [("form", token.as_str())].into_iter().chain(fields.iter().copied()).collect();
        self.post(action, &fields).await
    }

    /// Sends any request.
    pub async fn send(
        &self,
        verb: &str,
        path: &str,
        fields: Option<&[(&str, &str)]>,
        headers: &[(&str, &str)],
    ) -> Got {
        let method = reqwest::Method::from_bytes(verb.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.cookie.is_empty() {
            request = request.header("cookie", &self.cookie);
        }
        if let Some(fields) = fields {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let answer = request.send().await.unwrap();
        let text =
            |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let (location, set_cookie) = (text("location"), text("set-cookie"));
        Got { status, location, set_cookie, headers, text: answer.text().await.unwrap() }
    }
}

impl Got {
    /// The token of the page's forms.
    pub fn form_token(&self) -> String {
        let (_, rest) = self.text.split_once(r#"name="form" value=""#).expect("the page has a form");
        rest.split('"').next().unwrap().to_owned()
    }

    /// Whether the page contains a text.
    pub fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }
}
