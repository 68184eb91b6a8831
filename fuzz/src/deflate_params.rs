//! The negotiation of permessage-deflate: what we answer an independent checker of RFC 7692 7 takes,
//! what we take it calls lawful, and both ends mean the same.

use sockeye::deflate::{Deflate, DeflateMode, DeflateParams};
use sockeye::handshake::Extension;

use super::deflate_check::{Param, Said};
use super::source::Source;

/// Two bytes a settings, for a server and for a client; then lists of parameters, `a; b=1, c`: each
/// is an offer and an answer.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let (server, client) = (settings(&mut source), settings(&mut source));
    let text = String::from_utf8_lossy(source.rest());
    // Not by the grammar of the header: the library has to stand everything.
    let lists: Vec<Vec<Param>> = text.split(',').map(list).collect();
    for list in &lists {
        answer(&server, list);
        accept(&client, list);
    }
    let slices = || lists.iter().map(Vec::as_slice);
    let first = slices().find_map(|offer| DeflateParams::answer(&server, offer));
    assert_eq!(DeflateParams::answer_first(&server, slices()), first);
    two_ends(&server, &client);
}

fn settings(source: &mut Source<'_>) -> Deflate {
    let (flags, bits) = (source.byte(), source.byte());
    let mode = DeflateMode::try_from(flags % 3).expect("a mode");
    let bits = [bits & 0x0f, bits >> 4].map(|bits| 9 + bits % 7);
    let base = Deflate::from(mode)
        .window_bits(bits[0])
        .and_then(|settings| settings.peer_window_bits(bits[1]))
        .expect("within 9 to 15");
    match flags >> 6 {
        0 | 3 => base,
        one => base.own_context(one == 1).peer_context(one == 2),
    }
}

fn list(text: &str) -> Vec<Param> {
    let params = text.split(';').map(str::trim).filter(|param| !param.is_empty());
    let param = |param: &str| match param.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (param.to_owned(), None),
    };
    params.map(param).collect()
}

/// As a server.
fn answer(settings: &Deflate, offer: &[Param]) {
    let said = Said::offer(offer).filter(|said| {
        let is_eight = said.bits("server_max_window_bits") == 8;
        settings.is_enabled() && !is_eight
    });
    let (said, agreed, answer) = match (said, DeflateParams::answer(settings, offer)) {
        (Some(said), Some((agreed, answer))) => (said, agreed, answer),
        (None, None) => return,
        (said, answer) => panic!("{offer:?} is {} and {answer:?}", said.is_some()),
    };
    let answered = Said::answer(&answer).expect("our answer is well-formed");
    assert!(said.allows(&answered), "{answer:?} to {offer:?}");

    // What is agreed on is what the answer says, and within the settings.
    assert_eq!(agreed.own_no_context, answered.has("server_no_context_takeover"));
    assert_eq!(agreed.peer_no_context, answered.has("client_no_context_takeover"));
    assert_eq!(agreed.own_window_bits, answered.bits("server_max_window_bits"));
    assert_eq!(agreed.peer_window_bits, answered.bits("client_max_window_bits"));
    assert!(agreed.own_no_context || settings.keeps_own_context());
    assert!(agreed.peer_no_context || settings.keeps_peer_context());
    assert!((9..=settings.window_bits_max()).contains(&agreed.own_window_bits));
    if said.has("client_max_window_bits") {
        assert!(agreed.peer_window_bits <= settings.peer_window_bits_max());
    }

    // It can be sent, and asked again the same is agreed on.
    let extension = Extension { name: DeflateParams::NAME.to_owned(), params: answer };
    let sent = Extension::encode_list(std::slice::from_ref(&extension)).expect("tokens");
    assert_eq!(Extension::parse_list(sent.as_bytes()), Ok(vec![extension.clone()]));
    let again = DeflateParams::answer(settings, &extension.params);
    assert_eq!(again, Some((agreed, extension.params)));
}

/// As a client, whose answer comes from the fuzzer.
fn accept(settings: &Deflate, answer: &[Param]) {
    let offers = DeflateParams::offers(settings);
    assert_eq!(offers.len(), usize::from(settings.is_enabled()));
    let offered = offers.first().map(|offer| Said::offer(offer).expect("our offer is well-formed"));
    let agreed = DeflateParams::accept(settings, answer);
    let (Some(offered), Some(answered)) = (offered, Said::answer(answer)) else {
        assert!(agreed.is_err(), "{answer:?}");
        return;
    };
    // Eight is lawful, and more than our compressor can do.
    let is_eight = answered.bits("client_max_window_bits") == 8;
    assert_eq!(agreed.is_ok(), offered.allows(&answered) && !is_eight, "{answer:?}");
    let Ok(agreed) = agreed else {
        return;
    };
    let is_hinted = offered.has("client_no_context_takeover");
    let own_bits =
        answered.bits("client_max_window_bits").min(offered.bits("client_max_window_bits"));
    assert_eq!(agreed.own_no_context, is_hinted || answered.has("client_no_context_takeover"));
    assert_eq!(agreed.peer_no_context, answered.has("server_no_context_takeover"));
    assert_eq!(agreed.own_window_bits, own_bits);
    assert_eq!(agreed.peer_window_bits, answered.bits("server_max_window_bits"));
}

/// Our client with our server.
fn two_ends(server: &Deflate, client: &Deflate) {
    let offers = DeflateParams::offers(client);
    for offer in &offers {
        answer(server, offer);
    }
    let agreed = DeflateParams::answer_first(server, offers.iter().map(Vec::as_slice));
    assert_eq!(agreed.is_some(), server.is_enabled() && client.is_enabled());
    if let Some((at_server, answer)) = agreed {
        accept(client, &answer);
        let at_client = DeflateParams::accept(client, &answer).expect("our server is lawful");
        let mirrored = DeflateParams {
            own_no_context: at_client.peer_no_context,
            peer_no_context: at_client.own_no_context,
            own_window_bits: at_client.peer_window_bits,
            peer_window_bits: at_client.own_window_bits,
        };
        assert_eq!(at_server, mirrored);
    }
}
