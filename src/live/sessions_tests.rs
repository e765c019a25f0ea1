//! Places, limits, and what a session is called.

use super::*;

fn sessions(most: usize, per_ip: usize, per_account: usize) -> Sessions {
    Sessions::new(&Options {
        max_sessions: most,
        max_per_ip: per_ip,
        max_per_account: per_account,
        ..Options::default()
    })
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_place_is_given_back_when_its_session_ends() {
    let sessions = sessions(3, 2, 1);
    let first = sessions.enter(address("192.0.2.1:1"), 0).unwrap();
    let mut second = sessions.enter(address("192.0.2.1:2"), 0).unwrap();
    assert_eq!(sessions.enter(address("192.0.2.1:3"), 0).unwrap_err(), NoPlace::Address);
    let mut third = sessions.enter(address("192.0.2.2:1"), 0).unwrap();
    assert_eq!(sessions.enter(address("192.0.2.3:1"), 0).unwrap_err(), NoPlace::Total);
    let account = crate::model::Id(5);
    assert_eq!(
        (second.claim(account), second.claim(account), third.claim(account)),
        (Ok(()), Ok(()), Err(1))
    );
    drop((first, second));
    assert_eq!((third.claim(account), sessions.count()), (Ok(()), 1));
    assert!(sessions.enter(address("192.0.2.1:4"), 0).is_ok());
}

#[test]
fn a_session_is_called_by_its_clients_address() {
    for (given, id) in [
        ("203.0.113.25:51544", "203.0.113.25:51544"),
        ("[::ffff:203.0.113.25]:80", "203.0.113.25:80"),
        ("[2001:db8::1]:443", "2001:db8:0:0:0:0:0:1:443"),
    ] {
        assert_eq!(session_id(address(given)), id);
    }
}
