//! `std::net`'s sockets, which tell for what they are wanted.

mod addresses;
mod tcp;
mod udp;

use real::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

pub use self::addresses::ToSocketAddrs;
pub use self::tcp::{Incoming, TcpListener, TcpStream};
pub use self::udp::UdpSocket;

/// What all sockets have: they are descriptors.
macro_rules! descriptor {
    ($($socket:ident)*) => {$(
        impl AsFd for $socket {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $socket {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
            }
        }

        impl FromRawFd for $socket {
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: the caller's promise is the same.
                Self(unsafe { FromRawFd::from_raw_fd(fd) })
            }
        }

        impl IntoRawFd for $socket {
            fn into_raw_fd(self) -> RawFd {
                self.0.into_raw_fd()
            }
        }

        impl From<OwnedFd> for $socket {
            fn from(fd: OwnedFd) -> Self {
                Self(fd.into())
            }
        }

        impl From<$socket> for OwnedFd {
            fn from(socket: $socket) -> OwnedFd {
                socket.0.into()
            }
        }

        impl real::fmt::Debug for $socket {
            fn fmt(&self, f: &mut real::fmt::Formatter<'_>) -> real::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

descriptor! { TcpStream TcpListener UdpSocket }

/// Methods that are the real socket's: `fn name(arguments) -> type` each.
macro_rules! same {
    ($($(#[$meta:meta])* fn $name:ident(&self $(, $arg:ident: $of:ty)*) -> $returns:ty;)*) => {$(
        $(#[$meta])*
        pub fn $name(&self $(, $arg: $of)*) -> $returns {
            self.0.$name($($arg),*)
        }
    )*};
}

use same;
