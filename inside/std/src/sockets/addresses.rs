//! `std::net::ToSocketAddrs`: what can be an address, which tells of the hosts whose names are looked up.
//!
//! On WASI a socket's `connect` or `bind` looks at no address at all, so for those an address tells itself what it is.

use real::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use real::{io, iter, option, slice, vec};

use crate::attempt;

pub trait ToSocketAddrs {
    type Iter: Iterator<Item = SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;

    /// Tells that a socket is wanted for this. Not std's: an address of a crate's own has this one, because its
    /// `to_socket_addrs` is not called either.
    #[doc(hidden)]
    fn __belljar_wanted(&self) {
        attempt::nameless_socket();
    }
}

/// Lets the real std take one of ours.
pub(super) struct Addresses<A>(pub(super) A);

impl<A: ToSocketAddrs> net::ToSocketAddrs for Addresses<A> {
    type Iter = A::Iter;

    fn to_socket_addrs(&self) -> io::Result<A::Iter> {
        self.0.to_socket_addrs()
    }
}

/// Addresses that are nothing to look up, with what they are as a `SocketAddr`.
macro_rules! plain {
    ($($address:ty, $this:ident => $as:expr;)*) => {$(
        impl ToSocketAddrs for $address {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                net::ToSocketAddrs::to_socket_addrs(self)
            }

            fn __belljar_wanted(&self) {
                let $this = *self;
                attempt::socket(&$as);
            }
        }
    )*};
}

plain! {
    SocketAddr, this => this;
    SocketAddrV4, this => this;
    SocketAddrV6, this => this;
    (IpAddr, u16), this => SocketAddr::from(this);
    (Ipv4Addr, u16), this => SocketAddr::from(this);
    (Ipv6Addr, u16), this => SocketAddr::from(this);
}

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if self.0.parse::<IpAddr>().is_err() {
            self.__belljar_wanted();
        }
        net::ToSocketAddrs::to_socket_addrs(self)
    }

    fn __belljar_wanted(&self) {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => attempt::socket(&SocketAddr::new(ip, port)),
            Err(_) => attempt::socket(&format!("{host}:{port}")),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (&*self.0, self.1).to_socket_addrs()
    }

    fn __belljar_wanted(&self) {
        (&*self.0, self.1).__belljar_wanted();
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let has_port = self.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port && self.parse::<SocketAddr>().is_err() {
            self.__belljar_wanted();
        }
        net::ToSocketAddrs::to_socket_addrs(self)
    }

    fn __belljar_wanted(&self) {
        attempt::socket(self);
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }

    fn __belljar_wanted(&self) {
        (**self).__belljar_wanted();
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        net::ToSocketAddrs::to_socket_addrs(self)
    }

    fn __belljar_wanted(&self) {
        if self.is_empty() {
            attempt::nameless_socket();
        }
        for address in *self {
            address.__belljar_wanted();
        }
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<T::Iter> {
        (**self).to_socket_addrs()
    }

    fn __belljar_wanted(&self) {
        (**self).__belljar_wanted();
    }
}
