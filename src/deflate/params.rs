//! How two ends agree on permessage-deflate: offer, answer, and the check of the answer.
//!
//! The parameters come as lists of names and values, quotes taken away, as they stand in
//! [`Extension::params`](crate::handshake::Extension::params).

use super::terms::{CLIENT_WINDOW, List, SERVER_WINDOW, Terms};
use super::{Deflate, DeflateAnswerError};

/// What holds when nobody says anything. Source: RFC 7692 7.1.2.
const BITS_MAX: u8 = 15;

/// The only window on the wire that our compressor cannot keep within.
const BITS_TOO_FEW: u8 = 8;

/// What both ends agreed on, as seen from one end: "own" is what we compress, "peer" what the peer
/// does. Source: RFC 7692 7.1.
///
/// ```
/// use sockeye::deflate::{Deflate, DeflateParams};
///
/// let (client, server) = (Deflate::context_takeover(), Deflate::no_context());
/// let offers = DeflateParams::offers(&client);
/// let (at_server, answer) = DeflateParams::answer(&server, &offers[0]).expect("acceptable");
/// let at_client = DeflateParams::accept(&client, &answer)?;
/// assert!(at_client.own_no_context && at_server.peer_no_context);
/// # Ok::<(), sockeye::deflate::DeflateAnswerError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateParams {
    /// Our compressor starts every message anew. Source: RFC 7692 7.1.1.
    pub own_no_context: bool,
    /// The peer's compressor starts every message anew, so our window may be dropped in between.
    /// Source: RFC 7692 7.1.1.
    pub peer_no_context: bool,
    /// The window of our compressor, as the logarithm of its bytes: 9 to 15. Source: RFC 7692
    /// 7.1.2.
    pub own_window_bits: u8,
    /// The window of the peer's compressor, as the logarithm of its bytes: 8 to 15. A larger one
    /// here reads the same. Source: RFC 7692 7.1.2.
    pub peer_window_bits: u8,
}

impl DeflateParams {
    /// The registered name of the extension. Source: RFC 7692 7.
    pub const NAME: &'static str = "permessage-deflate";

    /// The server's answer to one offer: what is agreed on, and the parameters to send. `None`
    /// declines the offer: the next one may do, or the connection goes without compression.
    ///
    /// Declined are an unknown or repeated parameter, a value that is none, and
    /// `server_max_window_bits=8`; and everything if the settings say
    /// [`Deflate::disabled`]. What the client would do anyway is promised back to it, so that
    /// neither end keeps memory for nothing.
    ///
    /// Cost: one pass, a string for each name and value of the answer. Source: RFC 7692 5.1, 7.1.
    pub fn answer(settings: &Deflate, offer: &[(String, Option<String>)]) -> Option<(Self, List)> {
        if !settings.is_enabled() {
            return None;
        }
        let offer = Terms::read(offer, Some(BITS_MAX)).ok()?;
        if offer.server_window == Some(BITS_TOO_FEW) {
            return None;
        }
        let own_window_bits = offer.server_window.unwrap_or(BITS_MAX);
        let agreed = Self {
            own_no_context: offer.server_no_context || !settings.keeps_own_context(),
            peer_no_context: offer.client_no_context || !settings.keeps_peer_context(),
            own_window_bits: own_window_bits.min(settings.window_bits_max()),
            // A client that does not offer the parameter could not read it in the answer.
            peer_window_bits: match offer.client_window {
                Some(bits) => bits.min(settings.peer_window_bits_max()),
                None => BITS_MAX,
            },
        };
        let is_window_offered = offer.server_window.is_some();
        let is_own_smaller = agreed.own_window_bits < BITS_MAX;
        let is_peer_smaller = agreed.peer_window_bits < BITS_MAX;
        let answer = Terms {
            server_no_context: agreed.own_no_context,
            client_no_context: agreed.peer_no_context,
            server_window: (is_window_offered || is_own_smaller).then_some(agreed.own_window_bits),
            client_window: is_peer_smaller.then_some(agreed.peer_window_bits),
        };
        Some((agreed, answer.write()))
    }

    /// The server's answer to the first acceptable of several offers, which stand in the client's
    /// order of preference: the parameter lists of those elements of `Sec-WebSocket-Extensions`
    /// that are named [`NAME`](Self::NAME). `None` if there is none.
    ///
    /// Cost: [`answer`](Self::answer) for each offer up to that. Source: RFC 7692 5.1, 7.1.
    pub fn answer_first<'a>(
        settings: &Deflate,
        offers: impl IntoIterator<Item = &'a [(String, Option<String>)]>,
    ) -> Option<(Self, List)> {
        offers.into_iter().find_map(|offer| Self::answer(settings, offer))
    }

    /// What a client offers, in its order of preference: nothing if the settings say
    /// [`Deflate::disabled`], one list of parameters otherwise.
    ///
    /// The offer always says that we understand `client_max_window_bits`, and asks of the server
    /// only what differs from its defaults. There is no weaker offer behind it: what the settings
    /// say of the peer is a demand, and a server that cannot meet it does not compress.
    ///
    /// Cost: a string for each name and value. Source: RFC 7692 5.1, 7.1.
    pub fn offers(settings: &Deflate) -> Vec<List> {
        if !settings.is_enabled() {
            return Vec::new();
        }
        let smaller = |bits: u8| (bits < BITS_MAX).then_some(bits);
        let offer = Terms {
            server_no_context: !settings.keeps_peer_context(),
            client_no_context: !settings.keeps_own_context(),
            server_window: smaller(settings.peer_window_bits_max()),
            client_window: smaller(settings.window_bits_max()),
        };
        let mut params = offer.write();
        if offer.client_window.is_none() {
            params.push((CLIENT_WINDOW.to_owned(), None));
        }
        vec![params]
    }

    /// The client's check of the server's answer, given the settings that [`offers`](Self::offers)
    /// were made of.
    ///
    /// A server may promise more than it was asked for: `server_no_context_takeover` and
    /// `server_max_window_bits` are taken unasked. It may also tell us to start every message anew,
    /// and to compress within a smaller window.
    ///
    /// Errors: [`DeflateAnswerError`]; the connection has to be failed. Cost: one pass, no
    /// allocation. Source: RFC 7692 5.1, 7.1.
    pub fn accept(
        settings: &Deflate,
        answer: &[(String, Option<String>)],
    ) -> Result<Self, DeflateAnswerError> {
        if !settings.is_enabled() {
            return Err(DeflateAnswerError::NotOffered);
        }
        let answer = Terms::read(answer, None)?;
        if !answer.server_no_context && !settings.keeps_peer_context() {
            return Err(DeflateAnswerError::ContextMissing);
        }
        let offered = settings.peer_window_bits_max();
        let peer_window_bits = lowered(SERVER_WINDOW, offered, answer.server_window)?;
        if peer_window_bits.is_none() && offered < BITS_MAX {
            return Err(DeflateAnswerError::WindowMissing { offered });
        }
        let own_window_bits =
            lowered(CLIENT_WINDOW, settings.window_bits_max(), answer.client_window)?;
        if own_window_bits == Some(BITS_TOO_FEW) {
            return Err(DeflateAnswerError::WindowTooSmall);
        }
        Ok(Self {
            own_no_context: answer.client_no_context || !settings.keeps_own_context(),
            peer_no_context: answer.server_no_context,
            // The hint in our offer binds us although the server ignores it.
            own_window_bits: own_window_bits.unwrap_or(settings.window_bits_max()),
            peer_window_bits: peer_window_bits.unwrap_or(BITS_MAX),
        })
    }
}

/// What was answered, if it is not above what was offered.
fn lowered(
    name: &'static str,
    offered: u8,
    answered: Option<u8>,
) -> Result<Option<u8>, DeflateAnswerError> {
    match answered {
        Some(answered) if answered > offered => {
            Err(DeflateAnswerError::WindowRaised { name, offered, answered })
        }
        _ => Ok(answered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::terms::{CLIENT_NO_CONTEXT, SERVER_NO_CONTEXT};
    use proptest::prelude::*;

    /// The parameters as they stand behind the name: `a; b=1`. A `b=` has an empty value.
    fn list(text: &str) -> List {
        let params = text.split("; ").filter(|param| !param.is_empty());
        let param = |param: &str| match param.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (param.to_owned(), None),
        };
        params.map(param).collect()
    }

    fn text(params: &[(String, Option<String>)]) -> String {
        let param = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        params.iter().map(param).collect::<Vec<_>>().join("; ")
    }

    fn answer(settings: &Deflate, offer: &str) -> Option<String> {
        let (_, answer) = DeflateParams::answer(settings, &list(offer))?;
        Some(text(&answer))
    }

    fn accept(settings: &Deflate, answer: &str) -> Result<DeflateParams, DeflateAnswerError> {
        DeflateParams::accept(settings, &list(answer))
    }

    fn params(no_context: (bool, bool), bits: (u8, u8)) -> DeflateParams {
        DeflateParams {
            own_no_context: no_context.0,
            peer_no_context: no_context.1,
            own_window_bits: bits.0,
            peer_window_bits: bits.1,
        }
    }

    fn takeover() -> Deflate {
        Deflate::context_takeover()
    }

    fn windows(own: u8, peer: u8) -> Deflate {
        takeover().window_bits(own).unwrap().peer_window_bits(peer).unwrap()
    }

    /// CP-01, HS-08: who is off neither offers nor answers, and takes no answer.
    #[test]
    fn disabled_ends_stay_out_of_it() {
        let off = Deflate::disabled();
        assert!(DeflateParams::offers(&off).is_empty());
        assert_eq!(answer(&off, ""), None);
        assert_eq!(accept(&off, ""), Err(DeflateAnswerError::NotOffered));
    }

    /// BY-01: the examples of RFC 7692 7.1.3.
    #[test]
    fn s7_1_3_examples() {
        let agree = |settings: &Deflate, offers: &[&str]| {
            let offers: Vec<List> = offers.iter().map(|offer| list(offer)).collect();
            let offers = offers.iter().map(Vec::as_slice);
            DeflateParams::answer_first(settings, offers).map(|(_, answer)| text(&answer))
        };
        let ours = takeover();
        assert_eq!(agree(&ours, &[""]).as_deref(), Some(""));
        let asks = "client_max_window_bits; server_max_window_bits=10";
        assert_eq!(agree(&ours, &[asks]).as_deref(), Some("server_max_window_bits=10"));
        let fallback = "client_max_window_bits";
        assert_eq!(agree(&ours, &[asks, fallback]).as_deref(), Some("server_max_window_bits=10"));
        // A server that does not take the first one.
        let first = "client_max_window_bits; server_max_window_bits=8";
        assert_eq!(agree(&ours, &[first, fallback]).as_deref(), Some(""));
        assert_eq!(agree(&ours, &[first]), None);
        assert_eq!(agree(&ours, &[]), None);
    }

    /// CP-02, HS-08, BY-01: what a server makes of an offer.
    #[test]
    fn s7_1_answers() {
        let (keeps, forgets) = (takeover(), Deflate::no_context());
        let no_context = "server_no_context_takeover; client_no_context_takeover";
        let no_server = "server_no_context_takeover";
        let no_client = "client_no_context_takeover";
        let small = windows(10, 11);
        for (settings, offer, expected) in [
            // 7.1.1: context takeover.
            (keeps, "", ""),
            (keeps, no_server, no_server),
            (keeps, no_client, no_client),
            (keeps, "client_no_context_takeover; server_no_context_takeover", no_context),
            (forgets, "", no_context),
            (forgets, no_server, no_context),
            (forgets, no_context, no_context),
            (keeps.own_context(false), "", no_server),
            (keeps.peer_context(false), "", no_client),
            // 7.1.2.1: the window of the server.
            (keeps, "server_max_window_bits=9", "server_max_window_bits=9"),
            (keeps, "server_max_window_bits=15", "server_max_window_bits=15"),
            (small, "server_max_window_bits=15", "server_max_window_bits=10"),
            (small, "server_max_window_bits=9", "server_max_window_bits=9"),
            (small, "", "server_max_window_bits=10"),
            // 7.1.2.2: the window of the client.
            (keeps, "client_max_window_bits", ""),
            (keeps, "client_max_window_bits=15", ""),
            (keeps, "client_max_window_bits=8", "client_max_window_bits=8"),
            (keeps, "client_max_window_bits=12", "client_max_window_bits=12"),
            (windows(15, 11), "client_max_window_bits", "client_max_window_bits=11"),
            (windows(15, 11), "client_max_window_bits=12", "client_max_window_bits=11"),
            (windows(15, 11), "client_max_window_bits=10", "client_max_window_bits=10"),
            (windows(15, 11), "", ""),
        ] {
            assert_eq!(answer(&settings, offer).as_deref(), Some(expected), "{offer}");
        }
    }

    /// BY-01: what a server knows once it has answered.
    #[test]
    fn answers_come_with_what_they_mean() {
        let agreed = |settings: &Deflate, offer: &str| {
            DeflateParams::answer(settings, &list(offer)).map(|(agreed, _)| agreed)
        };
        for (settings, offer, expected) in [
            (takeover(), "", params((false, false), (15, 15))),
            (Deflate::no_context(), "", params((true, true), (15, 15))),
            (takeover(), "server_no_context_takeover", params((true, false), (15, 15))),
            (takeover(), "client_no_context_takeover", params((false, true), (15, 15))),
            (takeover(), "server_max_window_bits=9", params((false, false), (9, 15))),
            (takeover(), "client_max_window_bits=8", params((false, false), (15, 8))),
            (windows(10, 11), "client_max_window_bits", params((false, false), (10, 11))),
            // The client cannot be asked for 11.
            (windows(10, 11), "", params((false, false), (10, 15))),
        ] {
            assert_eq!(agreed(&settings, offer), Some(expected), "{offer}");
        }
    }

    /// Values that are none.
    const BAD_VALUES: [&str; 25] = [
        "", "0", "1", "7", "08", "010", "015", "16", "17", "18", "19", "80", "99", "100", "150",
        "264", "+9", "-9", " 9", "9 ", "9.0", "0x9", "1e1", "\u{0669}", "nine",
    ];

    /// HS-08, BY-01, rows 34 and 35: offers that are declined, so that the next one is tried.
    #[test]
    fn s7_1_declined_offers() {
        let mut offers: Vec<String> = [
            "server_max_window_bits=8",
            "server_max_window_bits",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits; client_max_window_bits",
            "client_max_window_bits; client_max_window_bits=10",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_no_context_takeover=",
            "server_no_context_takeover=true",
            "client_no_context_takeover=10",
            "Server_No_Context_Takeover",
            "server_max_window_bit=10",
            "x",
            "x=1",
        ]
        .map(str::to_owned)
        .to_vec();
        for value in BAD_VALUES {
            offers.push(format!("server_max_window_bits={value}"));
            offers.push(format!("client_max_window_bits={value}"));
        }
        for settings in [takeover(), Deflate::no_context(), windows(9, 9)] {
            for offer in &offers {
                assert_eq!(answer(&settings, offer), None, "{offer}");
                let next = [list(offer), list("x"), list("")];
                let next = next.iter().map(Vec::as_slice);
                assert!(DeflateParams::answer_first(&settings, next).is_some(), "{offer}");
                for good in ["server_no_context_takeover", "client_max_window_bits=10"] {
                    assert_eq!(answer(&settings, &format!("{good}; {offer}")), None, "{offer}");
                    assert_eq!(answer(&settings, &format!("{offer}; {good}")), None, "{offer}");
                }
            }
        }
    }

    /// CP-02, BY-01, row 34: what a client offers. Never 8.
    #[test]
    fn s7_1_offers() {
        for (settings, expected) in [
            (takeover(), "client_max_window_bits"),
            (
                Deflate::no_context(),
                "server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
            ),
            (takeover().own_context(false), "client_no_context_takeover; client_max_window_bits"),
            (takeover().peer_context(false), "server_no_context_takeover; client_max_window_bits"),
            (windows(9, 15), "client_max_window_bits=9"),
            (windows(15, 10), "server_max_window_bits=10; client_max_window_bits"),
            (windows(14, 14), "server_max_window_bits=14; client_max_window_bits=14"),
        ] {
            let offers = DeflateParams::offers(&settings);
            let offers: Vec<String> = offers.iter().map(|offer| text(offer)).collect();
            assert_eq!(offers, [expected]);
        }
    }

    /// CP-02, HS-08, BY-01: answers that a client takes, and what they mean to it.
    #[test]
    fn s7_1_accepted_answers() {
        let (keeps, asks) = (takeover(), windows(15, 12));
        for (settings, answer, expected) in [
            (keeps, "", params((false, false), (15, 15))),
            // A server may say these unasked.
            (keeps, "server_no_context_takeover", params((false, true), (15, 15))),
            (keeps, "client_no_context_takeover", params((true, false), (15, 15))),
            (keeps, "server_max_window_bits=8", params((false, false), (15, 8))),
            (keeps, "server_max_window_bits=15", params((false, false), (15, 15))),
            (keeps, "client_max_window_bits=9", params((false, false), (9, 15))),
            (keeps, "client_max_window_bits=15", params((false, false), (15, 15))),
            (asks, "server_max_window_bits=12", params((false, false), (15, 12))),
            (asks, "server_max_window_bits=8", params((false, false), (15, 8))),
            // Our hints bind us whatever the server makes of them.
            (keeps.own_context(false), "", params((true, false), (15, 15))),
            (windows(10, 15), "", params((false, false), (10, 15))),
            (windows(10, 15), "client_max_window_bits=10", params((false, false), (10, 15))),
            (windows(10, 15), "client_max_window_bits=9", params((false, false), (9, 15))),
            (Deflate::no_context(), "server_no_context_takeover", params((true, true), (15, 15))),
        ] {
            assert_eq!(accept(&settings, answer), Ok(expected), "{answer}");
        }
    }

    /// HS-08, BY-01, rows 34 and 35, E07, E26: answers that a client refuses.
    #[test]
    fn s7_1_refused_answers() {
        use DeflateAnswerError as Error;
        let (keeps, asks) = (takeover(), windows(10, 12));
        let value = |name: &'static str| Error::Value { name };
        let repeated = |name: &'static str| Error::Repeated { name };
        let raised = |name: &'static str, offered: u8, answered: u8| Error::WindowRaised {
            name,
            offered,
            answered,
        };
        for (settings, answer, expected) in [
            (keeps, "x", Error::Unknown),
            (keeps, "Server_Max_Window_Bits=10", Error::Unknown),
            (keeps, "server_max_window_bits", value(SERVER_WINDOW)),
            (keeps, "client_max_window_bits", value(CLIENT_WINDOW)),
            (keeps, "client_max_window_bits=8", Error::WindowTooSmall),
            (keeps, "server_no_context_takeover=1", value(SERVER_NO_CONTEXT)),
            (keeps, "client_no_context_takeover=", value(CLIENT_NO_CONTEXT)),
            (keeps, "server_max_window_bits=9; server_max_window_bits=9", repeated(SERVER_WINDOW)),
            (keeps, "client_max_window_bits=9; client_max_window_bits=10", repeated(CLIENT_WINDOW)),
            (
                keeps,
                "server_no_context_takeover; server_no_context_takeover",
                repeated(SERVER_NO_CONTEXT),
            ),
            (
                keeps,
                "client_no_context_takeover; client_no_context_takeover",
                repeated(CLIENT_NO_CONTEXT),
            ),
            (Deflate::no_context(), "", Error::ContextMissing),
            (Deflate::no_context(), "client_no_context_takeover", Error::ContextMissing),
            (asks, "", Error::WindowMissing { offered: 12 }),
            (asks, "server_max_window_bits=13", raised(SERVER_WINDOW, 12, 13)),
            (
                asks,
                "server_max_window_bits=12; client_max_window_bits=11",
                raised(CLIENT_WINDOW, 10, 11),
            ),
            (asks, "server_max_window_bits=12; client_max_window_bits=8", Error::WindowTooSmall),
        ] {
            assert_eq!(accept(&settings, answer), Err(expected), "{answer}");
        }
        for bad in BAD_VALUES {
            let of = |name: &str| accept(&keeps, &format!("{name}={bad}"));
            assert_eq!(of(SERVER_WINDOW), Err(value(SERVER_WINDOW)), "{bad}");
            assert_eq!(of(CLIENT_WINDOW), Err(value(CLIENT_WINDOW)), "{bad}");
        }
    }

    prop_compose! {
        fn settings()(
            is_off in prop::bool::weighted(0.1),
            own_context: bool,
            peer_context: bool,
            own in 9..=15_u8,
            peer in 9..=15_u8,
        ) -> Deflate {
            let base = if is_off { Deflate::disabled() } else { windows(own, peer) };
            base.own_context(own_context).peer_context(peer_context)
        }
    }

    /// Names and values, most of them nearly right.
    fn any_list() -> impl Strategy<Value = List> {
        let names = [SERVER_NO_CONTEXT, CLIENT_NO_CONTEXT, SERVER_WINDOW, CLIENT_WINDOW];
        let name = prop_oneof![
            9 => prop::sample::select(names.to_vec()).prop_map(str::to_owned),
            1 => any::<String>(),
        ];
        let value = prop_oneof![
            4 => Just(None),
            4 => (7..17_u8).prop_map(|bits| Some(bits.to_string())),
            1 => any::<String>().prop_map(Some),
        ];
        prop::collection::vec((name, value), 0..5)
    }

    proptest! {
        /// CP-02, BY-01: both ends mean the same, and nobody does what it did not want.
        #[test]
        fn two_ends_agree(client in settings(), server in settings()) {
            let offers = DeflateParams::offers(&client);
            let agreed =
                DeflateParams::answer_first(&server, offers.iter().map(Vec::as_slice));
            prop_assert_eq!(agreed.is_some(), client.is_enabled() && server.is_enabled());
            let Some((at_server, answer)) = agreed else {
                return Ok(());
            };
            let at_client = DeflateParams::accept(&client, &answer);
            prop_assert_eq!(at_client, Ok(DeflateParams {
                own_no_context: at_server.peer_no_context,
                peer_no_context: at_server.own_no_context,
                own_window_bits: at_server.peer_window_bits,
                peer_window_bits: at_server.own_window_bits,
            }));
            let to_server = client.keeps_own_context() && server.keeps_peer_context();
            let to_client = client.keeps_peer_context() && server.keeps_own_context();
            prop_assert_eq!(at_server.peer_no_context, !to_server);
            prop_assert_eq!(at_server.own_no_context, !to_client);
            let to_server = client.window_bits_max().min(server.peer_window_bits_max());
            let to_client = client.peer_window_bits_max().min(server.window_bits_max());
            prop_assert_eq!(at_server.peer_window_bits, to_server);
            prop_assert_eq!(at_server.own_window_bits, to_client);
        }

        /// HS-08, rows 34 and 35: whatever is offered or answered, nobody panics and no window is
        /// out of its range; an answer taken for an offer agrees on the same.
        #[test]
        fn arbitrary_lists_are_answered_or_declined(settings in settings(), list in any_list()) {
            if let Some((agreed, answer)) = DeflateParams::answer(&settings, &list) {
                prop_assert!((9..=settings.window_bits_max()).contains(&agreed.own_window_bits));
                prop_assert!((8..=15).contains(&agreed.peer_window_bits));
                prop_assert_eq!(
                    DeflateParams::answer(&settings, &answer),
                    Some((agreed, answer.clone()))
                );
            }
            if let Ok(agreed) = DeflateParams::accept(&settings, &list) {
                prop_assert!((9..=settings.window_bits_max()).contains(&agreed.own_window_bits));
                let peer = 8..=settings.peer_window_bits_max();
                prop_assert!(peer.contains(&agreed.peer_window_bits));
            }
        }
    }
}
