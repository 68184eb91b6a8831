//! Findings that stay, each with its reason.

pub(crate) struct Exempt {
    /// How the finding begins.
    pub(crate) place: &'static str,
    pub(crate) reason: &'static str,
}

/// The findings that no entry covers, and the entries that cover nothing or give no reason: a list
/// that nobody needs any more rots.
pub(crate) fn unlisted(findings: Vec<String>, listed: &[Exempt]) -> Vec<String> {
    let is_stale = |exempt: &&Exempt| {
        let is_used = findings.iter().any(|finding| exempt.covers(finding));
        !is_used || exempt.reason.trim().is_empty()
    };
    let stale: Vec<_> = listed
        .iter()
        .filter(is_stale)
        .map(|exempt| format!("{}: listed in tests/tidy for nothing", exempt.place))
        .collect();
    let is_listed = |finding: &String| listed.iter().any(|exempt| exempt.covers(finding));
    let left = findings.into_iter().filter(|finding| !is_listed(finding));
    left.chain(stale).collect()
}

impl Exempt {
    fn covers(&self, finding: &str) -> bool {
        finding.starts_with(self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(findings: &[&str], place: &'static str, reason: &'static str) -> usize {
        let findings = findings.iter().map(ToString::to_string).collect();
        unlisted(findings, &[Exempt { place, reason }]).len()
    }

    #[test]
    fn covers_what_is_listed_and_no_more() {
        assert_eq!(left(&["a: x", "a: x"], "a: ", "because"), 0);
        assert_eq!(left(&["a: x", "b: x"], "a: ", "because"), 1);
    }

    #[test]
    fn refuses_stale_entries_and_those_without_a_reason() {
        assert_eq!(left(&[], "a: ", "because"), 1);
        assert_eq!(left(&["a: x"], "a: ", " "), 1);
    }
}
