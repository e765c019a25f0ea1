//! The forms in which realms and names of accounts are compared, for log-ins and events. Pure.

/// The form in which realms are compared: realms that look the same have the same form. Blanks, zero-width
/// characters, dots at the ends, case and width of letters are ignored; other letters are written as in DNS.
#[must_use]
pub fn realm_key(realm: &str) -> String {
    let seen: String = realm.chars().filter(|c| !c.is_whitespace() && !is_invisible(*c)).collect();
    let seen = seen.trim_matches('.');
    let mapped = url::Host::parse(seen).map_or_else(|_| seen.to_lowercase(), |host| host.to_string());
    mapped.trim_matches('.').to_owned()
}

/// The form in which names of accounts are compared: letters and digits in lower case, as in KAZOO.
#[must_use]
pub fn name_key(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Control characters, and characters that affect direction or line breaks but are not visible.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_that_look_the_same_have_the_same_form() {
        let alike = [
            "a_1.example.com",
            "A_1.EXAMPLE.com",
            "a_1.example.com.",
            " a_1.example.com\t",
            "a_1.exam\u{200b}ple.com\u{feff}",
            "a_1.exam\u{200d}ple.com",
            "a_1\u{3002}example.com",
            "\u{ff41}_1.\u{ff25}xample.com",
            ".a_1.example.com..",
        ];
        for realm in alike {
            assert_eq!(realm_key(realm), "a_1.example.com", "{realm:?}");
        }
        assert_eq!(realm_key("M\u{fc}ller.example"), realm_key("xn--mller-kva.example"));
        assert_ne!(realm_key("b.example.com"), realm_key("a.example.com"));
        assert_eq!(realm_key(""), "");
    }

    #[test]
    fn the_form_of_a_form_is_itself() {
        for realm in
            ["a..b", "not a host %", "[::1]", "1.2.3", "\u{130}.example", "x", "..", "\u{df}.example"]
        {
            let key = realm_key(realm);
            assert_eq!(realm_key(&key), key, "{realm:?}");
        }
    }

    #[test]
    fn names_are_compared_by_letters_and_digits() {
        assert_eq!(name_key(" Acme, Inc. 2"), "acmeinc2");
    }
}
