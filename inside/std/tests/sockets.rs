//! Sockets are std's, and for what they are wanted is told.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use belljar_std::__belljar::{Kind, told};
use belljar_std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

fn told_of(names: &[&str]) {
    let wanted: Vec<_> = names.iter().map(|&name| (Kind::Socket, name.to_owned())).collect();
    assert_eq!(told(), wanted);
}

#[test]
fn streams_and_listeners_work_and_tell_their_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    told_of(&["127.0.0.1:0"]);
    let addr = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(addr).unwrap();
    told_of(&[&addr.to_string()]);
    let mut server = listener.incoming().next().unwrap().unwrap();
    client.write_all(b"hello").unwrap();
    (&client).flush().unwrap();
    let mut text = [0; 5];
    (&server).read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello");
    assert_eq!(server.write_vectored(&[std::io::IoSlice::new(b"you")]).unwrap(), 3);
    drop(server);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "you");
    assert!(format!("{client:?} {listener:?}").contains("TcpStream {"));
    told_of(&[]);
    TcpStream::connect_timeout(&addr, Duration::from_secs(5)).unwrap();
    told_of(&[&addr.to_string()]);
}

#[test]
fn datagrams_too() {
    let one = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let other = UdpSocket::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))][..]).unwrap();
    told_of(&["127.0.0.1:0", "127.0.0.1:0"]);
    let (from, to) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    one.send_to(b"a", to).unwrap();
    other.connect(from).unwrap();
    told_of(&[&to.to_string(), &from.to_string()]);
    let mut text = [0; 4];
    assert_eq!(other.recv(&mut text).unwrap(), 1);
    assert!(one.send_to(b"a", &[][..]).is_err());
    told_of(&[""]);
}

#[test]
fn a_socket_is_a_descriptor() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let raw = listener.as_raw_fd();
    assert_eq!(listener.as_fd().as_raw_fd(), raw);
    let fd = OwnedFd::from(listener);
    let listener = TcpListener::from(fd);
    // SAFETY: it is this listener's own.
    let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
    assert_eq!(listener.local_addr().unwrap(), addr);
}

#[test]
fn every_kind_of_address_tells_itself() {
    struct Own;
    impl ToSocketAddrs for Own {
        type Iter = std::option::IntoIter<SocketAddr>;
        fn to_socket_addrs(&self) -> std::io::Result<Self::Iter> {
            Ok(None.into_iter())
        }
    }
    fn wanted(addr: impl ToSocketAddrs) {
        drop(UdpSocket::bind(addr));
    }
    let one = SocketAddr::from(([192, 0, 2, 1], 7));
    let two = SocketAddr::from((Ipv6Addr::LOCALHOST, 8));
    wanted(one);
    wanted(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 7));
    wanted((IpAddr::from([192, 0, 2, 1]), 7));
    wanted((Ipv6Addr::LOCALHOST, 8));
    wanted(("::1", 8));
    wanted("192.0.2.1:7".to_owned());
    told_of(&["192.0.2.1:7", "192.0.2.1:7", "192.0.2.1:7", "[::1]:8", "[::1]:8", "192.0.2.1:7"]);
    wanted(&[one, two][..]);
    told_of(&["192.0.2.1:7", "[::1]:8"]);
    wanted("no port");
    wanted(Own);
    told_of(&["no port", ""]);
}

/// std looks at a name when it is asked for addresses, and at no name when there is none to look at.
#[test]
fn a_name_is_told_when_it_is_looked_up() {
    for (addr, name) in [("localhost:80", "localhost:80"), ("127.0.0.1:80", ""), ("[::1]:80", "")] {
        let ours: Vec<_> = addr.to_socket_addrs().unwrap().collect();
        assert_eq!(ours, std::net::ToSocketAddrs::to_socket_addrs(addr).unwrap().collect::<Vec<_>>());
        told_of(if name.is_empty() { &[] } else { std::slice::from_ref(&name) });
    }
    ("localhost".to_owned(), 80).to_socket_addrs().unwrap();
    told_of(&["localhost:80"]);
    assert_eq!(("127.0.0.1", 80).to_socket_addrs().unwrap().count(), 1);
    for bad in ["localhost", "localhost:port", ""] {
        let error = std::net::ToSocketAddrs::to_socket_addrs(bad).unwrap_err();
        assert_eq!(bad.to_socket_addrs().unwrap_err().to_string(), error.to_string());
    }
    told_of(&[]);
}
