//! `std::net::TcpStream` and `std::net::TcpListener`.

use real::io::{self, IoSlice, IoSliceMut, Read, Write};
use real::iter::FusedIterator;
use real::net::{self, Shutdown, SocketAddr};
use real::time::Duration;

use super::addresses::Addresses;
use super::{ToSocketAddrs, same};

pub struct TcpStream(pub(super) net::TcpStream);

pub struct TcpListener(pub(super) net::TcpListener);

#[must_use = "iterators are lazy and do nothing unless consumed"]
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl TcpStream {
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        addr.__belljar_wanted();
        net::TcpStream::connect(Addresses(addr)).map(TcpStream)
    }

    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        addr.__belljar_wanted();
        net::TcpStream::connect_timeout(addr, timeout).map(TcpStream)
    }

    pub fn try_clone(&self) -> io::Result<TcpStream> {
        self.0.try_clone().map(TcpStream)
    }

    same! {
        fn peer_addr(&self) -> io::Result<SocketAddr>;
        fn local_addr(&self) -> io::Result<SocketAddr>;
        fn shutdown(&self, how: Shutdown) -> io::Result<()>;
        fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()>;
        fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()>;
        fn read_timeout(&self) -> io::Result<Option<Duration>>;
        fn write_timeout(&self) -> io::Result<Option<Duration>>;
        fn peek(&self, buf: &mut [u8]) -> io::Result<usize>;
        fn set_nodelay(&self, nodelay: bool) -> io::Result<()>;
        fn nodelay(&self) -> io::Result<bool>;
        fn set_ttl(&self, ttl: u32) -> io::Result<()>;
        fn ttl(&self) -> io::Result<u32>;
        fn take_error(&self) -> io::Result<Option<io::Error>>;
        fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
    }
}

/// Reading and writing go through a shared reference in std, too.
macro_rules! read_and_write {
    ($($stream:ty)*) => {$(
        impl Read for $stream {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&self.0).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&self.0).read_vectored(bufs)
            }
        }

        impl Write for $stream {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&self.0).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&self.0).write_vectored(bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                (&self.0).flush()
            }
        }
    )*};
}

read_and_write! { TcpStream &TcpStream }

impl TcpListener {
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        addr.__belljar_wanted();
        net::TcpListener::bind(Addresses(addr)).map(TcpListener)
    }

    pub fn try_clone(&self) -> io::Result<TcpListener> {
        self.0.try_clone().map(TcpListener)
    }

    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.accept().map(|(stream, addr)| (TcpStream(stream), addr))
    }

    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    same! {
        fn local_addr(&self) -> io::Result<SocketAddr>;
        fn set_ttl(&self, ttl: u32) -> io::Result<()>;
        fn ttl(&self) -> io::Result<u32>;
        #[deprecated(since = "1.16.0", note = "this option can only be set before the socket is bound")]
        #[allow(deprecated)]
        fn set_only_v6(&self, only_v6: bool) -> io::Result<()>;
        #[deprecated(since = "1.16.0", note = "this option can only be set before the socket is bound")]
        #[allow(deprecated)]
        fn only_v6(&self) -> io::Result<bool>;
        fn take_error(&self) -> io::Result<Option<io::Error>>;
        fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
