//! Where a server's certificate comes from: the options of the examples that serve with TLS.

/// What stands in their usage.
pub(crate) const USAGE: &str = "  --tls                       with a certificate made on the spot for localhost and ADDRESS, whose file is
                              printed; takes the features tls and ring
  --cert FILE --key FILE      with this certificate chain and key (PEM)";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Certificate {
    MadeHere,
    Files { chain: String, key: String },
}

impl Certificate {
    /// `None`: without TLS.
    pub(crate) fn of_options(
        is_tls: bool,
        chain: Option<String>,
        key: Option<String>,
    ) -> Result<Option<Self>, String> {
        match (chain, key) {
            (Some(chain), Some(key)) => Ok(Some(Self::Files { chain, key })),
            (None, None) => Ok(is_tls.then_some(Self::MadeHere)),
            _ => Err("--cert and --key need each other".to_owned()),
        }
    }
}
