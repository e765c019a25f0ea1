//! Shows the characters of a page that nobody could see, or that turn the text around them: each gets a mark with its
//! code. The text itself stays as it is, so that copying it gives the same characters. Pure.

use std::borrow::Cow;

/// Elements whose content is text alone: a mark in it would be read as text.
const TEXT_ALONE: [&str; 5] = ["textarea", "title", "option", "script", "style"];

/// The page with marks. `page` is well-formed HTML of this program, in which `<` and `>` in texts and values are escaped.
pub(super) fn marked(page: String) -> String {
    if !page.contains(is_odd) {
        return page;
    }
    let mut out = String::with_capacity(page.len() + page.len() / 8);
    let mut text_alone = false;
    for part in page.split_inclusive('>') {
        let (text, tag) = part.split_at(part.find('<').unwrap_or(part.len()));
        out.push_str(&if text_alone { Cow::Borrowed(text) } else { text_marked(text) });
        out.push_str(tag);
        let name = tag.trim_start_matches(['<', '/']);
        let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        if TEXT_ALONE.contains(&name) {
            text_alone = !tag.starts_with("</");
        }
    }
    out
}

fn text_marked(text: &str) -> Cow<'_, str> {
    if !text.contains(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    for character in text.chars() {
        if is_odd(character) {
            let code = format!("{:04X}", u32::from(character));
            out.extend(["<span class=\"odd\" data-code=\"", &code, "\" title=\"U+", &code, "\">"]);
            out.push(character);
            out.push_str("</span>");
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Control characters, and characters without width. Those that join letters and emoji belong to the text.
fn is_odd(character: char) -> bool {
    match character {
        '\n' | '\t' | '\r' => false,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{feff}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_gets_a_mark_and_stays_in_the_text() {
        let page = marked("<p title=\"a\u{202e}b\">x\u{202e}gpj.exe\u{200b}</p>".to_owned());
        let mark = |code: &str, it: char| {
            format!("<span class=\"odd\" data-code=\"{code}\" title=\"U+{code}\">{it}</span>")
        };
        let (turn, empty) = (mark("202E", '\u{202e}'), mark("200B", '\u{200b}'));
        assert_eq!(page, format!("<p title=\"a\u{202e}b\">x{turn}gpj.exe{empty}</p>"));
        assert!(marked("<b>\0\u{1b}[31m</b>".to_owned()).contains(">\0</span>"));
    }

    #[test]
    fn what_is_edited_and_what_belongs_to_a_text_has_no_mark() {
        for page in [
            "<textarea name=\"a\">\n\u{202e}x</textarea><input value=\"\u{202e}\">",
            "<title>\u{202e}x</title>",
            "<select><option value=\"a\" selected>\u{200b}</option></select>",
            "<p>👩\u{200d}👧 می\u{200c}خواهم é\t\r\n</p>",
        ] {
            assert_eq!(marked(page.to_owned()), page);
        }
        assert!(
            marked("<title>\u{200b}</title><h1>\u{200b}</h1>".to_owned()).ends_with("\u{200b}</span></h1>")
        );
    }
}
