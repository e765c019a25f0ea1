//! The parameters of lists, for the fuzz targets.

use super::Filters;
use super::paging::Form;
use super::paging::{Paging, decode_key, encode_key};
use crate::http::options::ApiOptions;
use crate::http::request::Request;

/// Whatever the parameters are, a page and a batch are bounded.
pub(in crate::http) fn paging(request: &Request, options: &ApiOptions) {
    for form in [Form::Page, Form::Chunked, Form::Csv] {
        if let Ok(paging) = Paging::of(request, options, form) {
            let most = options.max_page_size;
            assert!((1..=most).contains(&paging.chunk) && paging.most == most);
            assert!(paging.size.is_none_or(|size| (1..=most).contains(&size)));
        }
    }
    drop(Filters::of(request));
}

/// A key can be decoded again, and every text is a valid key.
pub(in crate::http) fn key(text: &str) {
    assert!(decode_key(text).len() <= text.len());
    assert_eq!(decode_key(&encode_key(text)), text);
}
