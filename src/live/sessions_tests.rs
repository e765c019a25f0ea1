//! Seats, limits and ids of sessions.

use super::*;

fn sessions(most: usize, per_ip: usize, per_account: usize) -> Sessions {
    Sessions::new(&LiveOptions {
        max_sessions: most,
        max_per_ip: per_ip,
        max_per_account: per_account,
        ..LiveOptions::default()
    })
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn enter_from(sessions: &Sessions, address: SocketAddr) -> Result<Seat, NoSeat> {
    sessions.enter(address, address.ip(), 0)
}

#[test]
fn a_seat_is_free_again_when_its_session_ends() {
    let sessions = sessions(3, 2, 1);
    let first = enter_from(&sessions, address("192.0.2.1:1")).unwrap();
    let mut second = enter_from(&sessions, address("192.0.2.1:2")).unwrap();
    assert_eq!(enter_from(&sessions, address("192.0.2.1:3")).unwrap_err(), NoSeat::Address);
    let mut third = enter_from(&sessions, address("192.0.2.2:1")).unwrap();
    let account = crate::model::AccountId(5);
    assert_eq!(
        (second.claim(account, None), second.claim(account, None), third.claim(account, None)),
        (Ok(()), Ok(()), Err(1))
    );
    drop((first, second));
    assert_eq!((third.claim(account, None), sessions.count()), (Ok(()), 1));
    assert!(enter_from(&sessions, address("192.0.2.1:4")).is_ok());
}

#[test]
fn a_sessions_id_is_its_clients_address() {
    for (given, id) in [
        ("203.0.113.25:51544", "203.0.113.25:51544"),
        ("[::ffff:203.0.113.25]:80", "203.0.113.25:80"),
        ("[2001:db8::1]:443", "2001:db8:0:0:0:0:0:1:443"),
    ] {
        assert_eq!(session_id(address(given)), id);
    }
}

#[test]
fn the_oldest_session_without_a_token_makes_room_but_never_one_with_a_token() {
    let limits = LiveOptions { max_sessions: 3, max_without_token: 2, ..LiveOptions::default() };
    let sessions = Sessions::new(&limits);
    let enter = |port: u16| enter_from(&sessions, SocketAddr::from(([192, 0, 2, 1], port)));
    let mut known = enter(1).unwrap();
    known.claim(crate::model::AccountId(5), None).unwrap();
    let (first, second, third) = (enter(2).unwrap(), enter(3).unwrap(), enter(4).unwrap());
    let told = [&known, &first, &second, &third].map(|place| place.gives_way.is_cancelled());
    assert_eq!(told, [false, true, false, false]);
    drop(first);
    let mut fourth = enter(5).unwrap();
    assert!(second.gives_way.is_cancelled() && !third.gives_way.is_cancelled());
    drop((second, third));
    fourth.claim(crate::model::AccountId(5), None).unwrap();
    let mut fifth = enter(6).unwrap();
    fifth.claim(crate::model::AccountId(5), None).unwrap();
    assert_eq!(enter(7).unwrap_err(), NoSeat::Total, "all have shown a token");
}
