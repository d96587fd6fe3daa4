//! The table as a picture: one bar for each ratio, against native.

use std::fmt::Write as _;

use super::Line;

const ROW: usize = 26;
const LEFT: f64 = 230.0;
/// Pixels of what native takes.
const NATIVE: f64 = 160.0;
/// Those of the longest bar, and of the words behind it.
const LONGEST: f64 = 400.0;
const WORDS: f64 = 230.0;
const WIDTH: f64 = LEFT + LONGEST + WORDS;

/// An SVG of all lines whose value is a ratio. Text has the colour of its surroundings, so that it can be read on dark pages, too.
pub(crate) fn svg(lines: &[Line]) -> String {
    let is_ratio = |line: &&Line| line.unit.starts_with('×') && line.limit.is_finite();
    let ratios: Vec<&Line> = lines.iter().filter(is_ratio).collect();
    let height = ratios.len() * ROW + 44;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text {{ fill: #24292f }} .l {{ stroke: #57606a }} @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .l {{ stroke: #8d96a0 }} }}</style>\n"
    );
    // Writing to a string can't fail.
    for (n, line) in ratios.iter().enumerate() {
        let y = n * ROW + 8;
        let width = (line.value * NATIVE).min(LONGEST);
        let limit = LEFT + (line.limit * NATIVE).min(LONGEST);
        let colour = if line.ok { "#2da44e" } else { "#bf8700" };
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"end\">{}</text>\n<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" rx=\"2\" fill=\"{colour}\"/>\n\
             <line class=\"l\" x1=\"{limit:.1}\" x2=\"{limit:.1}\" y1=\"{}\" y2=\"{}\" stroke-width=\"2\"/>\n<text x=\"{:.1}\" y=\"{}\">{:.2} {} (at most {})</text>",
            LEFT - 10.0,
            y + 12,
            line.id.id(),
            y - 3,
            y + 19,
            LEFT + width.max(line.limit * NATIVE).min(LONGEST) + 8.0,
            y + 12,
            line.value,
            line.unit,
            line.limit,
        );
    }
    let (x, bottom) = (LEFT + NATIVE, height - 28);
    let _ = writeln!(
        out,
        "<line class=\"l\" x1=\"{x}\" x2=\"{x}\" y1=\"2\" y2=\"{bottom}\" stroke-dasharray=\"3 3\"/>\n\
         <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">1.00: what it is held against</text>\n</svg>",
        bottom + 16,
    );
    out
}

#[cfg(test)]
mod tests {
    use super::super::measure::Sample;
    use super::super::{Line, Measure};
    use super::*;

    #[test]
    fn ratios_have_bars_and_other_lines_have_none() {
        let sample = |value| [Sample { value, native: None, sealed: None }];
        let lines = [
            Line::new(Measure::CleanCheck, &sample(0.5)),
            Line::new(Measure::FirstCheck, &sample(9.0)),
            Line::new(Measure::WrapperMemory, &sample(11.0)),
        ];
        let svg = svg(&lines);
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(
            svg.contains("width=\"80.0\"") && svg.contains("clean-check") && !svg.contains("wrapper-memory")
        );
        assert!(svg.contains("9.00 × native"), "what is too long for the picture is still told");
    }
}
