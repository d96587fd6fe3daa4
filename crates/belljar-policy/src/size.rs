//! Sizes as people write them: `512 MiB`.

/// Why a text is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSize {
    #[error("it has no number")]
    NoNumber,
    #[error("it has no unit")]
    NoUnit,
    #[error("its unit is none of `B`, `kB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`")]
    Unit,
}

/// Bytes of a size: a number, perhaps with a fraction, and a unit.
pub(crate) fn parse(text: &str) -> Result<u64, BadSize> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| BadSize::NoNumber)?;
    let unit: f64 = match unit.trim() {
        "" => return Err(BadSize::NoUnit),
        "B" => 1.0,
        "kB" | "KB" => 1e3,
        "KiB" => 1024.0,
        "MB" => 1e6,
        "MiB" => 1024.0 * 1024.0,
        "GB" => 1e9,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(BadSize::Unit),
    };
    // Larger ones than 2^53 are over every limit; a conversion of floats saturates.
    Ok((number * unit).round() as u64)
}

/// In words, with the largest unit that gives a whole number.
pub(crate) fn show(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "B")];
    let (shift, unit) =
        units.into_iter().find(|(shift, _)| bytes.trailing_zeros() >= *shift).unwrap_or((0, "B"));
    format!("{} {unit}", bytes >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let good =
            [("1 GiB", 1 << 30), ("512MiB", 512 << 20), ("1.5 kB", 1500), ("0 B", 0), (" 2 MB ", 2_000_000)];
        for (text, bytes) in good {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        let bad = [
            ("", BadSize::NoNumber),
            ("-1 GiB", BadSize::NoNumber),
            ("1.2.3 MiB", BadSize::NoNumber),
            ("GiB", BadSize::NoNumber),
            ("1024", BadSize::NoUnit),
            ("1 mb", BadSize::Unit),
            ("1 G", BadSize::Unit),
            ("inf GiB", BadSize::NoNumber),
        ];
        for (text, why) in bad {
            assert_eq!(parse(text), Err(why), "{text}");
        }
        assert_eq!(
            (show(1 << 30), show(1536 << 10), show(3)),
            ("1 GiB".into(), "1536 KiB".into(), "3 B".into())
        );
    }
}
