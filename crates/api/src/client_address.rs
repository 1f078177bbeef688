//! Where a request comes from: the connection's peer, or what trusted proxies say about it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// More proxies than this in a row are no honest chain.
const LONGEST_CHAIN: usize = 32;

/// The address of the machine at the other end of the connection.
///
/// A server puts it into the extensions of every request
/// (`request.extensions_mut().insert(PeerAddress(address))`). Without it the client's address is
/// not known, and keys with an address list are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address.ip())
    }
}

/// The text is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address or a network; write 192.0.2.7 or 10.0.0.0/8")]
pub struct InvalidNetwork(String);

/// Reads a network (`10.0.0.0/8`), or an address (`192.0.2.7`) as the network of it alone.
///
/// # Errors
/// When the text is neither.
pub fn parse_network(text: &str) -> Result<IpNet, InvalidNetwork> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| InvalidNetwork(text.chars().take(64).collect()))
}

/// The proxies whose `X-Forwarded-For` is believed. None by default.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Trusts the machines of these networks and addresses.
    ///
    /// # Errors
    /// When a text is neither.
    pub fn parse(networks: &[String]) -> Result<Self, InvalidNetwork> {
        let networks = networks.iter().map(|text| parse_network(text));
        networks.collect::<Result<_, _>>().map(Self)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Finds the client's address; `None` when it is not known.
    pub(crate) fn client_of(&self, parts: &Parts) -> Option<IpAddr> {
        let PeerAddress(peer) = parts.extensions.get()?;
        self.client(*peer, &parts.headers)
    }

    /// Walks from the peer towards the client as long as trusted machines tell who called them.
    ///
    /// Each proxy appends its own caller on the right, and whatever stands left of an entry that no
    /// trusted machine wrote may be made up (MDN, "X-Forwarded-For", selecting an IP address).
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer.to_canonical();
        for entry in entries(headers).take(LONGEST_CHAIN) {
            if !self.trusts(client) {
                return Some(client);
            }
            client = entry?;
        }
        Some(client)
    }
}

/// The entries of all `X-Forwarded-For` headers from right to left; `None` for one that is no
/// address.
fn entries(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let values = headers.get_all(X_FORWARDED_FOR).iter().rev();
    values.flat_map(|value| {
        let text = value.to_str().unwrap_or("?");
        text.rsplit(',').map(|entry| address_of(entry.trim()))
    })
}

/// Reads an address with or without a port, as proxies write both.
fn address_of(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str]) -> Option<String> {
        let proxies = TrustedProxies::parse(&["10.0.0.0/8", "fd00::/8"].map(str::to_owned)).unwrap();
        let headers = forwarded
            .iter()
            .map(|value| (X_FORWARDED_FOR, HeaderValue::from_static(value)))
            .collect();
        let address = proxies.client(peer.parse().unwrap(), &headers);
        address.map(|address| address.to_string())
    }

    #[test]
    fn networks_and_addresses_are_read_and_names_refused() {
        assert_eq!(parse_network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(parse_network("fd00::/8").unwrap().to_string(), "fd00::/8");
        for text in ["", "example.org", "10.0.0.0/33", "10.0.0", "::1/129"] {
            assert!(TrustedProxies::parse(&[text.to_owned()]).is_err(), "{text:?}");
        }
    }

    #[test]
    fn strangers_are_taken_for_what_they_are_whatever_they_say() {
        assert_eq!(client("192.0.2.7", &["10.0.0.1"]).as_deref(), Some("192.0.2.7"));
        assert_eq!(client("::ffff:192.0.2.7", &[]).as_deref(), Some("192.0.2.7"));
        let nobody = TrustedProxies::default();
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.9"))]);
        assert_eq!(
            nobody.client("10.0.0.1".parse().unwrap(), &headers),
            "10.0.0.1".parse().ok()
        );
    }

    #[test]
    fn the_first_address_from_the_right_that_is_no_proxy_is_the_client() {
        for (forwarded, expected) in [
            (&["192.0.2.7"][..], "192.0.2.7"),
            // What the client itself sent stands on the left.
            (&["10.9.9.9, 198.51.100.1, 192.0.2.7, 10.0.0.2"], "192.0.2.7"),
            (&["198.51.100.1", "192.0.2.7,10.0.0.2", "fd00::2"], "192.0.2.7"),
            (&["192.0.2.7:4711"], "192.0.2.7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            // Requests that begin at a proxy.
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(
                client("10.0.0.1", forwarded).as_deref(),
                Some(expected),
                "{forwarded:?}"
            );
        }
    }

    #[test]
    fn what_a_trusted_proxy_writes_wrongly_leaves_the_client_unknown() {
        for forwarded in ["unknown", "", "192.0.2.7, ", "_hidden", "192.0.2.256"] {
            assert_eq!(client("10.0.0.1", &[forwarded]), None, "{forwarded:?}");
        }
        // Of no matter once the client is found.
        assert_eq!(
            client("10.0.0.1", &["unknown, 192.0.2.7"]).as_deref(),
            Some("192.0.2.7")
        );
    }
}
