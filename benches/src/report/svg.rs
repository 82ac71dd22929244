//! SVG, as far as two kinds of plots need it. Colours are readable on white and on black.

use std::fmt::Write as _;

use crate::stand::Way;

/// A picture under construction.
pub(super) struct Svg {
    body: String,
    width: f64,
    height: f64,
}

/// Where a text has its point.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    /// The point is in its middle.
    Middle,
    /// The point is at its right end.
    End,
    /// The point is at its left end.
    Start,
}

impl Svg {
    /// An empty picture with a title.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut svg = Self { body: String::new(), width, height };
        svg.text(width / 2.0, 22.0, Anchor::Middle, title);
        svg
    }

    /// A straight line of an axis or a grid.
    pub(super) fn rule(&mut self, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.body,
            r##"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="#888" stroke-width="0.5"/>"##
        );
    }

    /// A curve through these points.
    pub(super) fn curve(&mut self, points: impl IntoIterator<Item = (f64, f64)>, way: Way) {
        let points: Vec<_> = points.into_iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dashes = if is_unix(way) { r#" stroke-dasharray="6 3""# } else { "" };
        let _ = writeln!(
            self.body,
            r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="2"{dashes}/>"#,
            points.join(" "),
            colour(way),
        );
    }

    /// A filled bar. One of negative size is drawn to the other side.
    pub(super) fn bar(&mut self, (x, y): (f64, f64), width: f64, height: f64, way: Way) {
        let (x, width) = if width < 0.0 { (x + width, -width) } else { (x, width) };
        let opacity = if is_unix(way) { 0.6 } else { 1.0 };
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{}" fill-opacity="{opacity}"/>"#,
            colour(way),
        );
    }

    /// A line of text.
    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Middle => "middle",
            Anchor::End => "end",
            Anchor::Start => "start",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(
            self.body,
            r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="#888">{text}</text>"##
        );
    }

    /// The file.
    pub(super) fn finish(self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n{}</svg>\n",
            self.width, self.height, self.body
        )
    }
}

fn is_unix(way: Way) -> bool {
    matches!(way, Way::DirectUnix | Way::ProxyUnix | Way::HaproxyUnix)
}

fn colour(way: Way) -> &'static str {
    match way {
        Way::Direct | Way::DirectUnix => "#7f8c8d",
        Way::Proxy | Way::ProxyUnix => "#0b84d8",
        Way::Haproxy | Way::HaproxyUnix => "#d9822b",
        Way::Nginx => "#2f9e5b",
        Way::Old => "#8e5bb5",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plot that no browser opens is found only when someone looks for it.
    #[test]
    fn the_file_is_well_formed() {
        let mut svg = Svg::new(100.0, 50.0, "a < b & c");
        svg.rule((0.0, 0.0), (1.0, 1.0));
        svg.curve([(0.0, 1.0), (2.0, 3.0)], Way::ProxyUnix);
        svg.bar((10.0, 10.0), -5.0, 4.0, Way::Haproxy);
        let file = svg.finish();
        assert!(file.contains(">a &lt; b &amp; c</text>"));
        assert!(file.contains(r#"x="5.0" y="10.0" width="5.0""#), "{file}");
        assert!(file.contains(r#"points="0.0,1.0 2.0,3.0""#));
        for tag in file.lines().filter(|line| !line.starts_with("<svg") && *line != "</svg>") {
            assert!(tag.ends_with("/>") || tag.ends_with("</text>"), "{tag}");
        }
        assert!(file.starts_with("<svg ") && file.ends_with("</svg>\n"));
    }
}
