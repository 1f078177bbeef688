//! Which addresses may be connected to, and the resolver that looks no further than that.
//!
//! The check stands between the look-up and the connection: what is checked is what is connected
//! to, so a name that answers differently the second time gains nothing.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use ipnet::{Ipv4Net, Ipv6Net};
use tokio::time::timeout;
use tower::Service;

use crate::AddressError;

/// What IANA's registry of special IPv4 addresses calls not globally reachable, multicast and the
/// reserved rest. Clouds serve credentials at 169.254.169.254 and 100.100.100.200.
const NOT_PUBLIC_V4: [Ipv4Net; 15] = [
    v4(Ipv4Addr::UNSPECIFIED, 8),
    v4(Ipv4Addr::new(10, 0, 0, 0), 8),
    v4(Ipv4Addr::new(100, 64, 0, 0), 10),
    v4(Ipv4Addr::new(127, 0, 0, 0), 8),
    v4(Ipv4Addr::new(169, 254, 0, 0), 16),
    v4(Ipv4Addr::new(172, 16, 0, 0), 12),
    v4(Ipv4Addr::new(192, 0, 0, 0), 24),
    v4(Ipv4Addr::new(192, 0, 2, 0), 24),
    v4(Ipv4Addr::new(192, 88, 99, 0), 24),
    v4(Ipv4Addr::new(192, 168, 0, 0), 16),
    v4(Ipv4Addr::new(198, 18, 0, 0), 15),
    v4(Ipv4Addr::new(198, 51, 100, 0), 24),
    v4(Ipv4Addr::new(203, 0, 113, 0), 24),
    v4(Ipv4Addr::new(224, 0, 0, 0), 4),
    v4(Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Global unicast: the only IPv6 addresses that may be public.
const PUBLIC_V6: Ipv6Net = v6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The parts of [`PUBLIC_V6`] that are not: protocol assignments with Teredo, and documentation.
const NOT_PUBLIC_V6: [Ipv6Net; 3] = [
    v6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    v6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    v6(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Prefixes whose last 32 bits are an IPv4 address that is reached through them: mapped addresses
/// and NAT64.
const CARRIERS: [Ipv6Net; 2] = [
    v6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
    v6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
];

/// 6to4: the IPv4 address follows the prefix.
const SIX_TO_FOUR: Ipv6Net = v6(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);

const fn v4(address: Ipv4Addr, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address, length)
}

const fn v6(address: Ipv6Addr, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(address, length)
}

/// Whether an address belongs to the public internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [_, _, high, middle, .., a, b, c, d] = address.octets();
    if CARRIERS.iter().any(|net| net.contains(&address)) {
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    if SIX_TO_FOUR.contains(&address) {
        let [_, _, _, _, third, fourth, ..] = address.octets();
        return is_public_v4(Ipv4Addr::new(high, middle, third, fourth));
    }
    PUBLIC_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
}

/// Checks one address.
///
/// # Errors
/// When it is not public and must be.
pub(crate) fn check(address: IpAddr, allow_private: bool) -> Result<(), AddressError> {
    if allow_private || is_public(address) {
        Ok(())
    } else {
        Err(AddressError::Private(address))
    }
}

/// Looks names up and lets through what [`check`] does. One address that must not be refuses the
/// name: an honest host does not mix.
#[derive(Debug, Clone)]
pub(crate) struct GuardedResolver {
    pub(crate) allow_private: bool,
    pub(crate) limit: Duration,
}

impl GuardedResolver {
    async fn resolve(self, name: Name) -> Result<vec::IntoIter<SocketAddr>, AddressError> {
        // The port is the connector's business.
        let lookup = timeout(self.limit, tokio::net::lookup_host((name.as_str(), 0)));
        let found = lookup.await.map_err(|_| AddressError::Silent(self.limit))?;
        let addresses: Vec<SocketAddr> = found.map_err(AddressError::Lookup)?.collect();
        for address in &addresses {
            check(address.ip(), self.allow_private)?;
        }
        if addresses.is_empty() {
            return Err(AddressError::None);
        }
        Ok(addresses.into_iter())
    }
}

impl Service<Name> for GuardedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = AddressError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().resolve(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_public_internet_pass() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "198.17.255.255",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(public(text), "{text}");
        }
    }

    #[test]
    fn addresses_inside_do_not_pass() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.0",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!public(text), "{text}");
        }
    }

    fn resolver(allow_private: bool) -> GuardedResolver {
        GuardedResolver {
            allow_private,
            limit: Duration::from_secs(5),
        }
    }

    #[tokio::test]
    async fn a_name_for_an_address_inside_is_refused_unless_allowed() {
        let name = || "localhost".parse::<Name>().unwrap();
        let refused = resolver(false).call(name()).await.unwrap_err();
        assert!(matches!(refused, AddressError::Private(address) if address.is_loopback()));
        let mut allowed = resolver(true).call(name()).await.unwrap();
        assert!(allowed.all(|address| address.ip().is_loopback()));
    }
}
