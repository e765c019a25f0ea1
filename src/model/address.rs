//! The addresses that deliveries may not reach unless the operator allows them. Invariant: an address that embeds
//! another one (mapped, NAT64, 6to4, Teredo) cannot circumvent the rule for the embedded address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// True for every address that is not a public unicast address, except those in `allow`.
///
/// An allowed IPv4 range also allows the IPv6 forms that embed its addresses.
#[must_use]
pub fn forbidden(ip: IpAddr, allow: &[IpNet]) -> bool {
    if is_in(ip, allow) {
        return false;
    }
    match ip {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6, allow),
    }
}

fn is_in(ip: IpAddr, nets: &[IpNet]) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}

fn special_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    match a {
        0 | 10 | 127 | 224..=255 => true,
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        // 192.0.0/24: protocol assignments; 192.0.2/24: documentation; 192.88.99/24: the former 6to4 relays.
        192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
        198 => b == 18 || b == 19 || (b == 51 && c == 100),
        203 => b == 0 && c == 113,
        _ => false,
    }
}

fn forbidden_v6(ip: Ipv6Addr, allow: &[IpNet]) -> bool {
    let s = ip.segments();
    match s {
        // Mapped, compatible (with :: and ::1), translated, NAT64: refused whatever address they embed.
        [0, 0, 0, 0, 0, 0 | 0xffff, hi, lo]
        | [0, 0, 0, 0, 0xffff, 0, hi, lo]
        | [0x64, 0xff9b, 0, 0, 0, 0, hi, lo] => !is_in(v4(hi, lo).into(), allow),
        [0x2002, hi, lo, ..] => forbidden(v4(hi, lo).into(), allow),
        // Teredo embeds the server's address as it is and the client's inverted.
        [0x2001, 0, hi, lo, _, _, chi, clo] => {
            forbidden(v4(hi, lo).into(), allow) || forbidden(v4(!chi, !clo).into(), allow)
        }
        // 2001::/23 is for protocols (ORCHID, benchmarking, ...); 2001:db8::/32 and 3fff::/20 are documentation.
        [0x2001, second, ..] => second < 0x200 || second == 0xdb8,
        [0x3fff, second, ..] => second < 0x1000,
        // Nothing outside 2000::/3 is public: ULA, link- and site-local, multicast, discard, 64:ff9b:1::/48.
        [first, ..] => first & 0xe000 != 0x2000,
    }
}

fn v4(hi: u16, lo: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(hi) << 16 | u32::from(lo))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_forbidden(ip: &str) -> bool {
        forbidden(ip.parse().unwrap_or(IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9))), &[])
    }

    #[test]
    fn special_addresses_are_forbidden() {
        let special = "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 \
            127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.7 \
            192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.3 203.0.113.9 224.0.0.1 \
            239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::2 ::127.0.0.1 ::8.8.8.8 \
            ::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 \
            64:ff9b::a9fe:a9fe 64:ff9b:1::1 64:ff9b:1:ffff::7f00:1 100::1 2001::1 2001:0:7f00:1:: \
            2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::1 2002:a00:1:: \
            2002:c0a8:101::1 3fff::1 3fff:fff::1 4000::1 5f00::1 fc00::1 fd12:3456::1 fe80::1 \
            febf::1 fec0::1 ff02::1 ff0e::1";
        for ip in special.split(' ') {
            assert!(is_forbidden(ip), "{ip}");
        }
    }

    #[test]
    fn public_addresses_are_not() {
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "2002:808:808::1",
            "3ffe::1",
        ] {
            assert!(!is_forbidden(ip), "{ip}");
        }
    }

    #[test]
    fn an_allowed_range_allows_its_addresses_in_every_form_and_no_others() {
        let allow: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for ip in
            ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00::7", "2002:7f00:1::1"]
        {
            assert!(!forbidden(ip.parse().unwrap(), &allow), "{ip}");
        }
        for ip in ["10.0.0.1", "::1", "::ffff:10.0.0.1", "fc00::1", "64:ff9b::a00:1"] {
            assert!(forbidden(ip.parse().unwrap(), &allow), "{ip}");
        }
    }
}
