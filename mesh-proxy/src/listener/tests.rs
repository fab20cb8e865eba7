//! Sniffing and PROXY headers: data in, data out.

#![allow(clippy::unwrap_used)]

use super::{
    proxy_protocol,
    sniff::{Look, look},
};

#[test]
fn request_lines_and_prefaces() {
    let cases: &[(&[u8], Look)] = &[
        (b"", Look::More),
        (b"GE", Look::More),
        (b"GET / HTT", Look::More),
        (b"GET / HTTP/1.1\r\n", Look::Http("http/1.1")),
        (b"OPTIONS * HTTP/1.0\r\nHost: a\r\n", Look::Http("http/1.0")),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Look::Http("h2c")),
        (b"PRI * HT", Look::More),
        (b"PRI * HTTP/1.1\r\n", Look::Other),
        (b"\x16\x03\x01", Look::Other),
        (b"GETX /", Look::Other),
        (b"GET / SMTP\r\n", Look::Other),
        (b"SSH-2.0-OpenSSH\r\n", Look::Other),
    ];
    for (bytes, expected) in cases {
        assert_eq!(look(bytes), *expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn proxy_headers() {
    let v1 = b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\nGET /";
    let (length, header) = proxy_protocol::parse(v1).unwrap().unwrap();
    assert_eq!(&v1[length..], b"GET /");
    assert_eq!(header, Some(("1.2.3.4:1000".parse().unwrap(), "5.6.7.8:80".parse().unwrap())));

    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([1, 2, 3, 4, 5, 6, 7, 8, 3, 232, 0, 80]);
    v2.extend(b"rest");
    let (length, header) = proxy_protocol::parse(&v2).unwrap().unwrap();
    assert_eq!(&v2[length..], b"rest");
    assert_eq!(header, Some(("1.2.3.4:1000".parse().unwrap(), "5.6.7.8:80".parse().unwrap())));
    for end in 0..length {
        assert_eq!(proxy_protocol::parse(&v2[..end]), Ok(None), "{end} bytes are not enough");
    }

    assert_eq!(proxy_protocol::parse(b"PROXY UNKNOWN\r\n"), Ok(Some((15, None))));
    for bad in [&b"GET / HTTP/1.1\r\n"[..], b"PROXY TCP4 a b 1 2\r\n", &[b"PROXY "[..].to_vec(), vec![b'x'; 200]].concat()] {
        assert!(proxy_protocol::parse(bad).is_err());
    }
}
