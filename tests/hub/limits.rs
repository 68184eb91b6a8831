//! What a server allows, through the public API: places, rates, names and the limits themselves.

#![cfg(feature = "hub")]

use std::net::IpAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sockeye::hub::limits::{
    AddressKey, AddressRates, Limits, LimitsError, Places, PlacesFull, Rate, RetryAfter,
    RoomNameError, TokenBucket, check_room_name,
};

fn key(text: &str) -> AddressKey {
    AddressKey::from(text.parse::<IpAddr>().unwrap())
}

/// LM-01 to LM-05, BY-23: the table of limits.
#[test]
fn defaults() {
    let limits = Limits::default();
    assert_eq!(limits.check(), Ok(()));
    assert_eq!(limits.connections_max, 10_000);
    assert_eq!((limits.connections_per_address_max, limits.connections_per_user_max), (None, None));
    assert_eq!((limits.room_members_max, limits.rooms_per_connection_max), (None, 64));
    assert_eq!(limits.room_name_bytes_max, 128);
    assert_eq!((limits.messages_per_connection, limits.bytes_per_connection), (None, None));
    assert_eq!((limits.handshakes_per_address, limits.life_max), (None, None));
    assert!(!limits.dry_run);
}

/// BY-23: what makes no sense is refused by name, before a server begins.
#[test]
fn senseless_limits_are_refused() {
    let check = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits.check()
    };
    let zero = |field| Err(LimitsError::Zero { field });
    assert_eq!(check(|limits| limits.connections_max = 0), zero("connections_max"));
    assert_eq!(
        check(|limits| limits.connections_per_address_max = Some(0)),
        zero("connections_per_address_max")
    );
    assert_eq!(
        check(|limits| limits.connections_per_user_max = Some(0)),
        zero("connections_per_user_max")
    );
    assert_eq!(check(|limits| limits.room_members_max = Some(0)), zero("room_members_max"));
    assert_eq!(
        check(|limits| limits.rooms_per_connection_max = 0),
        zero("rooms_per_connection_max")
    );
    assert_eq!(check(|limits| limits.room_name_bytes_max = 0), zero("room_name_bytes_max"));
    assert_eq!(check(|limits| limits.life_max = Some(Duration::ZERO)), zero("life_max"));
    let rate = Rate::per_second(0);
    assert_eq!((rate.tokens(), rate.burst_tokens()), (0, 0));
    assert_eq!(
        check(|limits| limits.messages_per_connection = Some(Rate::per_second(0))),
        zero("messages_per_connection")
    );
    assert_eq!(
        check(|limits| limits.bytes_per_connection = Some(Rate::per_minute(1).burst(0))),
        zero("bytes_per_connection")
    );
    assert_eq!(
        check(|limits| limits.handshakes_per_address = Some(Rate::per_second(0).burst(1))),
        zero("handshakes_per_address")
    );
    assert_eq!(
        check(|limits| limits.room_name_bytes_max = 1025),
        Err(LimitsError::OverMaximum { field: "room_name_bytes_max", limit: 1024 })
    );
}

/// A13: 300 addresses of one /64 are one, and an IPv4 address is itself however it is written.
#[test]
fn a_network_of_ipv6_is_one_address() {
    let places = Places::new(Some(1), None);
    let place = places.take(key("2001:db8:0:1::1")).unwrap();
    for host in 2..302 {
        let other = key(&format!("2001:db8:0:1:{host:x}::{host:x}"));
        assert_eq!(places.take(other).unwrap_err(), PlacesFull::Key { limit: 1 });
    }
    assert!(places.take(key("2001:db8:0:2::1")).is_ok());
    let other = places.take(key("192.0.2.1")).unwrap();
    assert!(places.take(key("::ffff:192.0.2.1")).is_err());
    drop((place, other));
    assert_eq!((places.total(), places.keys()), (0, 0));
}

/// LM-01 to LM-04, A37 to A40: a server, an address, a user and a room that are full let nobody in, and
/// a place that was freed is taken at once.
#[test]
fn freed_places_are_usable_at_once() {
    let places = Places::new(Some(2), Some(3));
    let mut ann = vec![places.take("ann").unwrap(), places.take("ann").unwrap()];
    assert_eq!(places.take("ann").unwrap_err(), PlacesFull::Key { limit: 2 });
    let bob = places.take("bob").unwrap();
    assert_eq!(places.take("carl").unwrap_err(), PlacesFull::Total { limit: 3 });
    assert_eq!((places.of(&"ann"), places.of(&"bob"), places.of(&"carl")), (2, 1, 0));
    for _ in 0..1000 {
        ann.pop();
        ann.push(places.take("ann").unwrap());
        assert!(places.take("ann").is_err());
    }
    drop(bob);
    assert_eq!((places.total(), places.keys()), (2, 1));
    let carl = places.take("carl").unwrap();
    assert_eq!(carl.key(), &"carl");
}

/// A37 to A40: threads that take and free at once never hold more than there are, and leave nothing.
#[test]
fn places_hold_between_threads() {
    const THREADS: usize = 4;
    const PLACES: usize = 3;
    let places = Places::new(Some(PLACES), Some(PLACES + 1));
    let (held, most, barrier) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(THREADS));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (places, held, most, barrier) = (places.clone(), &held, &most, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for turn in 0..5000 {
                    let key = (thread + turn) % 2;
                    if let Ok(place) = places.take(key) {
                        most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        held.fetch_sub(1, Ordering::SeqCst);
                        drop(place);
                    }
                }
            });
        }
    });
    assert!((1..=PLACES + 1).contains(&most.into_inner()));
    assert_eq!((places.total(), places.keys()), (0, 0));
}

/// A08: the eleventh attempt in a minute is refused, and of another address it is not.
#[test]
fn the_eleventh_attempt_is_refused() {
    let logins = AddressRates::new(Rate::per_minute(10));
    let (guesser, other) = (key("203.0.113.9"), key("203.0.113.10"));
    for attempt in 0..10 {
        assert_eq!(logins.try_take(guesser, attempt), Ok(()));
    }
    assert_eq!(logins.try_take(guesser, 10), Err(RetryAfter { ms: 5990 }));
    assert_eq!(logins.try_take(other, 10), Ok(()));
    assert_eq!(logins.try_take(guesser, 6000), Ok(()));
    assert!(logins.try_take(guesser, 6000).is_err());
    // A minute later the pause has made it good.
    for _ in 0..10 {
        assert_eq!(logins.try_take(guesser, 66_000), Ok(()));
    }
    assert!(logins.try_take(guesser, 66_000).is_err());
}

/// A08: who knows the password is not counted, however often.
#[test]
fn right_attempts_are_given_back() {
    let logins = AddressRates::new(Rate::per_minute(10));
    let ann = key("2001:db8::1");
    for _ in 0..1000 {
        assert_eq!(logins.try_take(ann, 0), Ok(()));
        logins.give_back(ann);
    }
    logins.give_back(key("192.0.2.1"));
    assert_eq!(logins.len(), 1);
}

/// BY-23, A08: addresses without end grow nothing, throw out nobody who is over the rate, and refuse
/// nobody who is not.
#[test]
fn a_flood_of_addresses_stays_outside() {
    let rates = AddressRates::with_entries_max(Rate::per_second(2), 1000);
    let guilty = key("203.0.113.9");
    rates.try_take(guilty, 0).unwrap();
    rates.try_take(guilty, 0).unwrap();
    for number in 0..50_000u32 {
        let address = AddressKey::from(IpAddr::from((number | 0x0100_0000).to_be_bytes()));
        assert_eq!(rates.try_take(address, 0), Ok(()));
    }
    assert_eq!(rates.len(), 1000);
    assert_eq!(rates.try_take(guilty, 0), Err(RetryAfter { ms: 500 }));
    let last = rates.try_take(key("198.51.100.1"), 1000);
    assert_eq!(last, Ok(()));
    assert!(rates.len() < 1000, "what is refilled is thrown out");
}

/// LM-05, A45: messages over the rate are refused, and those of the neighbour are not.
#[test]
fn each_connection_has_its_own_rate() {
    let rate = Rate::per_second(10).burst(20);
    let (mut loud, mut quiet) = (TokenBucket::new(&rate, 0), TokenBucket::new(&rate, 0));
    let taken = (0..1000).filter(|_| loud.try_take(&rate, 1, 0).is_ok()).count();
    assert_eq!(taken, 20);
    assert_eq!(quiet.try_take(&rate, 1, 0), Ok(()));
    let error = loud.try_take(&rate, 1, 0).unwrap_err();
    assert_eq!(error.duration(), Some(Duration::from_millis(100)));
    assert_eq!(error.to_string(), "over the rate: again in 100 ms");
    // Bytes: one that no pause is long enough for.
    assert_eq!(loud.try_take(&rate, 21, 1_000_000), Err(RetryAfter::NEVER));
}

/// A43: 129 bytes, controls and padding; names that only look odd are names.
#[test]
fn names_of_rooms() {
    assert_eq!(check_room_name("chat:general", 128), Ok(()));
    assert_eq!(check_room_name("%00", 128), Ok(()));
    let bytes = RoomNameError::TooLong { bytes: 129, limit_bytes: 128 };
    assert_eq!(check_room_name(&"r".repeat(129), 128), Err(bytes));
    for name in ["a\0", "a\r\nb", "\u{1b}[31m", "\u{85}", "\u{7f}"] {
        let error = check_room_name(name, 128).unwrap_err();
        assert_eq!(error, RoomNameError::Control);
        assert!(!error.to_string().contains(char::is_control), "the name is not repeated");
    }
    assert_eq!(check_room_name(" a", 128), Err(RoomNameError::Padded));
    assert_eq!(check_room_name("", 128), Err(RoomNameError::Empty));
}
