//! Literals, read as a person would read them.

use std::borrow::Cow;

use super::Kind;

/// The longest text that is no large one, in bytes.
const LARGE: usize = 1_024;

/// Bytes that are read at once, and of what is put together.
pub(super) const READ: usize = 16 << 10;

/// The shortest text that may look random, in characters.
const RANDOM: usize = 32;

/// The value of a literal's text that is text or bytes. `None` for numbers.
pub(super) fn value(literal: &str) -> Option<Cow<'_, [u8]>> {
    let prefix = literal.find(['"', '\''])?;
    let quoted = &literal[prefix..];
    match literal.get(..prefix)?.trim_end_matches('#') {
        "r" | "br" | "cr" => {
            let hashes = prefix - literal[..prefix].trim_end_matches('#').len();
            let inner = quoted.get(1..quoted.len().checked_sub(1 + hashes)?)?;
            Some(Cow::Borrowed(inner.as_bytes()))
        }
        "" | "b" | "c" => {
            let inner = quoted.get(1..)?;
            // A suffix may follow, and a quote in the text stands behind a backslash.
            let end = inner.rfind(quoted.chars().next()?)?;
            let inner = &inner[..end];
            Some(match inner.contains('\\') {
                true => Cow::Owned(unescaped(inner)),
                false => Cow::Borrowed(inner.as_bytes()),
            })
        }
        _ => None,
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let push = |out: &mut Vec<u8>, c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let mut after = rest[at + 1..].chars();
        match after.next() {
            Some('n') => out.push(b'\n'),
            Some('t') => out.push(b'\t'),
            Some('r') => out.push(b'\r'),
            Some('0') => out.push(0),
            Some('x') => {
                let digits = after.as_str().get(..2).unwrap_or_default();
                out.extend(u8::from_str_radix(digits, 16));
                rest = after.as_str().get(2..).unwrap_or_default();
                continue;
            }
            Some('u') => {
                let inner = after.as_str().strip_prefix('{').and_then(|digits| digits.split_once('}'));
                if let Some((digits, behind)) = inner {
                    let code = u32::from_str_radix(&digits.replace('_', ""), 16).ok();
                    if let Some(c) = code.and_then(char::from_u32) {
                        push(&mut out, c);
                    }
                    rest = behind;
                    continue;
                }
            }
            Some('\n') => {
                rest = after.as_str().trim_start();
                continue;
            }
            Some(c) => push(&mut out, c),
            None => {}
        }
        rest = after.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Characters that nobody sees, or that change what is seen around them. Source: Unicode's `Default_Ignorable_Code_Point` and
/// `Bidi_Control`, as far as they are used.
pub(super) fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// What a text or bytes may be.
pub(super) fn kinds(value: &[u8], mut found: impl FnMut(Kind)) {
    if value.len() > LARGE {
        found(Kind::LargeLiteral);
    }
    if !value.is_ascii() {
        if String::from_utf8_lossy(value).contains(is_hidden) {
            found(Kind::Bidi);
        }
        found(Kind::NonAscii);
    }
    if matches!(value, b"sh") {
        found(Kind::Shell);
    }
    if value.len() < 3 {
        return;
    }
    // In pieces: what stands across two of them is one of a text that is long.
    for value in value.chunks(READ) {
        let text = String::from_utf8_lossy(value);
        let is: [(Kind, bool); 4] = [
            (Kind::HighEntropy, is_random(value)),
            (Kind::Url, is_address(&text)),
            (Kind::Shell, is_shell(&text)),
            (Kind::CodeText, is_code(&text)),
        ];
        is.into_iter().filter(|(_, is)| *is).for_each(|(kind, _)| found(kind));
    }
}

/// Bits in a byte, by how often each byte comes.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let all = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / all)
        .map(|p| -p * p.log2())
        .sum()
}

fn is_random(value: &[u8]) -> bool {
    let odd = value.iter().filter(|byte| !byte.is_ascii_graphic() && !byte.is_ascii_whitespace()).count();
    if value.len() >= 8 && odd * 4 > value.len() && std::str::from_utf8(value).is_err() {
        return true;
    }
    value
        .split(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'/' | b'='))
        .filter(|word| word.len() >= RANDOM)
        .any(|word| {
            let has = |is: fn(&u8) -> bool| word.iter().any(is);
            let hex = word.iter().all(u8::is_ascii_hexdigit)
                && has(u8::is_ascii_digit)
                && has(u8::is_ascii_alphabetic);
            let mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
            (hex && entropy(word) > 3.0) || (mixed && entropy(word) > 3.9)
        })
}

fn is_address(text: &str) -> bool {
    let has_scheme = |(at, _): (usize, &str)| text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
    if text.match_indices("://").any(has_scheme) {
        return true;
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_' | '[' | ']');
    text.split(|c: char| !is_part(c)).any(|word| is_host(&word.to_ascii_lowercase()))
}

/// An IP address, a name with a port, or a name of a well-known domain.
fn is_host(word: &str) -> bool {
    // Some of those that are most used.
    const DOMAINS: [&str; 18] = [
        "com", "net", "org", "io", "dev", "xyz", "info", "biz", "app", "ru", "cn", "sh", "top", "test",
        "onion", "cloud", "site", "online",
    ];
    if word.len() < 6 {
        return false;
    }
    let (name, port) = match word.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            (name, Some(port))
        }
        _ => (word, None),
    };
    let is_four = |name: &str| {
        let parts: Vec<&str> = name.split('.').collect();
        parts.len() == 4 && parts.iter().all(|part| part.parse::<u8>().is_ok())
    };
    if is_four(name) || is_six(name) || is_six(word) {
        return true;
    }
    let Some((before, domain)) = name.trim_matches('.').rsplit_once('.') else {
        return port.is_some() && matches!(name, "localhost");
    };
    let is_name = before.split('.').all(|part| !part.is_empty() && !part.contains([':', '[', ']']));
    is_name
        && (DOMAINS.contains(&domain) || (port.is_some() && domain.bytes().all(|b| b.is_ascii_lowercase())))
}

/// An address as it is written with a port: `[2001:db8::1]`.
fn is_six(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    inner.parse::<std::net::Ipv6Addr>().is_ok()
}

fn is_shell(text: &str) -> bool {
    const PARTS: [&str; 28] = [
        "/bin/",
        "/etc/",
        "/proc/",
        "/dev/",
        "/tmp/",
        "/usr/",
        "/root/",
        "/home/",
        "~/",
        ".ssh",
        "sh -c",
        "cmd.exe",
        "cmd /c",
        "powershell",
        "curl ",
        "wget ",
        "| sh",
        "|sh",
        "| bash",
        "#!/",
        "rm -rf",
        "chmod ",
        "$(",
        "&& ",
        "nc -",
        "2>&1",
        "C:\\",
        "LD_PRELOAD",
    ];
    PARTS.iter().any(|part| text.contains(part))
        || matches!(text, "sh" | "bash" | "cmd" | "curl" | "wget" | "python" | "perl")
}

fn is_code(text: &str) -> bool {
    const PARTS: [&str; 17] = [
        "std::",
        "core::",
        "unsafe {",
        "unsafe{",
        "extern \"C\"",
        "#[no_mangle",
        "#![",
        "macro_rules!",
        "include!(",
        "eval(",
        "import os",
        "require(",
        "<script",
        "#include",
        "process::",
        "function (",
        "function()",
    ];
    if PARTS.iter().any(|part| text.contains(part)) {
        return true;
    }
    let has = |part: &str| text.contains(part);
    (has("fn ") && has("{") && has("("))
        || (has("use ") && has("::") && has(";"))
        || (has("def ") && has("):"))
}
