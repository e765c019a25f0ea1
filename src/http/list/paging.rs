//! Paging parameters: `page_size`, `start_key`, `end_key`, `paginate`, `chunk_size`, and the order.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::http::errors::ApiError;
use crate::http::options::ApiOptions;
use crate::http::reply::Page;
use crate::http::request::Request;
use crate::state::hex;

/// Rows that are read at a time by default: KAZOO's `load_view_chunk_size`.
const CHUNK: usize = 50;

/// The most rows that are read at a time. Each may be as large as a document.
const MOST_CHUNK: usize = 500;

/// Distinguishes our keys from plain text that happens to be base64url.
const KEY_MARK: u8 = 1;

/// The form in which a list is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One envelope around a page.
    Page,
    /// A page in one envelope, written row by row (`is_chunked=true`).
    Chunked,
    /// A download (`Accept: text/csv`).
    Csv,
}

/// The page of a list and its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paging {
    /// Rows of the page; `None` for all.
    pub(super) size: Option<usize>,
    /// The plain key at which the page begins.
    pub(super) start: Option<String>,
    /// The plain key after which the page ends.
    pub(super) end: Option<String>,
    /// By rising keys. KAZOO's documents use `descending=false` for it, its code `ascending=true`; both work.
    pub(super) ascending: bool,
    /// Rows read at a time.
    pub(super) chunk: usize,
    /// The most rows of one envelope.
    pub(super) most: usize,
    /// After so many examined items a page ends, full or not. KAZOO's clients do not expect that, so it has to be asked for.
    pub(super) most_examined: Option<usize>,
    /// The most bytes of rows in one envelope, unless a single row is larger; `None` for a list that is streamed.
    pub(super) most_bytes: Option<usize>,
}

impl Paging {
    pub(super) fn of(request: &Request, options: &ApiOptions, form: Form) -> Result<Self, ApiError> {
        let most = options.max_page_size;
        let asked = number(request, "page_size", "invalid page size", "page size must be at least 1")?;
        let chunk = number(request, "chunk_size", "invalid chunk size", "chunk size must be at least 1")?;
        // A download has no place for the key of the next page, so it is complete unless a part is requested.
        let all = request.query("paginate") == Some("false") || (form == Form::Csv && asked.is_none());
        let invalid = "invalid max_examined";
        let most_examined = number(request, "max_examined", invalid, "max_examined must be at least 1")?;
        let key = |name| request.query(name).filter(|key| !key.is_empty()).map(decode_key);
        Ok(Self {
            size: (!all).then(|| asked.unwrap_or(options.page_size).min(most)),
            start: key("start_key"),
            end: key("end_key"),
            ascending: request.flag("ascending") || request.query("descending") == Some("false"),
            chunk: chunk.unwrap_or(CHUNK).min(most).clamp(1, MOST_CHUNK),
            most,
            most_examined,
            most_bytes: (form == Form::Page).then_some(options.max_page_bytes),
        })
    }
}

fn number(
    request: &Request,
    name: &str,
    invalid: &'static str,
    too_small: &'static str,
) -> Result<Option<usize>, ApiError> {
    let Some(text) = request.query(name) else { return Ok(None) };
    match text.trim().parse::<i64>() {
        Err(_) => Err(ApiError::faulty_request(invalid)),
        Ok(size) if size < 1 => Err(ApiError::faulty_request(too_small)),
        Ok(size) => Ok(Some(usize::try_from(size).unwrap_or(usize::MAX))),
    }
}

/// A hash that distinguishes pages by their rows and by whether more rows follow.
pub(super) fn hash(rows: &[Value], page: Option<&Page>) -> String {
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(&serde_json::to_vec(rows).unwrap_or_default());
    digest.update(page.and_then(|page| page.next_start_key.as_deref()).unwrap_or_default().as_bytes());
    hex(digest.finish().as_ref().get(..16).unwrap_or_default())
}

/// The opaque form of a key for clients.
pub(super) fn encode_key(key: &str) -> String {
    URL_SAFE_NO_PAD.encode([&[KEY_MARK], key.as_bytes()].concat())
}

/// The plain key. As in KAZOO, a text that is not one of our keys is used as it is.
pub(super) fn decode_key(text: &str) -> String {
    let decoded = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let ours = decoded.and_then(|bytes| {
        let key = bytes.strip_prefix(&[KEY_MARK])?;
        String::from_utf8(key.to_vec()).ok()
    });
    ours.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use warp::http::{HeaderMap, Method};

    use super::*;

    fn ask(query: &str) -> Result<Paging, ApiError> {
        let request = Request::new(Method::GET, "/", query, HeaderMap::new());
        Paging::of(&request, &ApiOptions::default(), Form::Page)
    }

    #[test]
    fn invalid_sizes_are_refused_by_name() {
        for (query, message) in [
            ("page_size=0", "page size must be at least 1"),
            ("page_size=-7", "page size must be at least 1"),
            ("page_size=x", "invalid page size"),
            ("page_size=", "invalid page size"),
            ("chunk_size=0", "chunk size must be at least 1"),
            ("chunk_size=2.5", "invalid chunk size"),
        ] {
            assert_eq!(ask(query).unwrap_err(), ApiError::faulty_request(message), "{query}");
        }
    }

    #[test]
    fn the_order_is_descending_unless_either_of_kazoos_spellings_reverses_it() {
        for (query, ascending) in [
            ("", false),
            ("descending=true", false),
            ("ascending=false", false),
            ("ascending=true", true),
            ("descending=false", true),
        ] {
            assert_eq!(ask(query).unwrap().ascending, ascending, "{query}");
        }
    }

    #[test]
    fn our_keys_can_be_decoded_and_other_texts_are_used_as_they_are() {
        for key in ["", "k", "name\u{0}id", "ü", "9d1e7c3a5b804f6e92c4a7d0b3f8e651"] {
            assert_eq!(decode_key(&encode_key(key)), key);
        }
        for plain in ["9d1e7c3a5b804f6e92c4a7d0b3f8e651", "abcd", "g2wAAAACbQ", "not base64!", "="] {
            assert_eq!(decode_key(plain), plain);
        }
    }

    #[test]
    fn a_page_that_is_too_large_is_cut_to_the_limit() {
        let most = ApiOptions::default().max_page_size;
        assert_eq!(ask("page_size=9223372036854775807").unwrap().size, Some(most));
        assert_eq!(ask("page_size=99999999999999999999").unwrap_err().status, 404);
        assert_eq!(ask("paginate=false").unwrap().size, None);
    }
}
