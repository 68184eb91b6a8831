//! RFC 7692 7.1 once more, by tables and sets instead of by rule: what an offer may say, and which
//! answers to it are lawful.

use std::collections::BTreeMap;

/// One parameter with its value, as the library hands it about.
pub(super) type Param = (String, Option<String>);

/// Every parameter with the values it may have in an offer and in an answer: `-` is none at all.
const GRAMMAR: [(&str, &str, &str); 4] = [
    ("server_no_context_takeover", "-", "-"),
    ("client_no_context_takeover", "-", "-"),
    ("server_max_window_bits", "8 9 10 11 12 13 14 15", "8 9 10 11 12 13 14 15"),
    ("client_max_window_bits", "- 8 9 10 11 12 13 14 15", "8 9 10 11 12 13 14 15"),
];

/// Parameters that are well-formed, by their names.
pub(super) struct Said<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Said<'a> {
    pub(super) fn offer(params: &'a [Param]) -> Option<Self> {
        Self::by(params, |(_, offer, _)| offer)
    }

    pub(super) fn answer(params: &'a [Param]) -> Option<Self> {
        Self::by(params, |(_, _, answer)| answer)
    }

    fn by(
        params: &'a [Param],
        values: fn((&'static str, &'static str, &'static str)) -> &'static str,
    ) -> Option<Self> {
        let said: BTreeMap<&str, &str> = params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or("-")))
            .collect();
        // A dash of the peer's is no absent value.
        let is_dashed = params.iter().any(|(_, value)| value.as_deref() == Some("-"));
        let is_known = |name: &str, value: &str| {
            GRAMMAR
                .into_iter()
                .any(|row| row.0 == name && values(row).split(' ').any(|one| one == value))
        };
        let is_fine = said.len() == params.len()
            && !is_dashed
            && said.iter().all(|(name, value)| is_known(name, value));
        is_fine.then_some(Self(said))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The window that is said, or the largest one.
    pub(super) fn bits(&self, name: &str) -> u8 {
        self.0.get(name).and_then(|value| value.parse().ok()).unwrap_or(15)
    }

    /// Whether a server may say `answer` to this offer. Source: RFC 7692 7.1.1.1, 7.1.2.1, 7.1.2.2.
    pub(super) fn allows(&self, answer: &Said<'_>) -> bool {
        let implies = |premise: bool, conclusion: bool| !premise || conclusion;
        let not_raised = |name| answer.bits(name) <= self.bits(name);
        [
            implies(
                self.has("server_no_context_takeover"),
                answer.has("server_no_context_takeover"),
            ),
            implies(self.has("server_max_window_bits"), answer.has("server_max_window_bits")),
            implies(answer.has("client_max_window_bits"), self.has("client_max_window_bits")),
            not_raised("server_max_window_bits"),
            implies(answer.has("client_max_window_bits"), not_raised("client_max_window_bits")),
        ]
        .iter()
        .all(|rule| *rule)
    }
}
