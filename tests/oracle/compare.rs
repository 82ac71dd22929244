//! Compares what was seen on both sides.

use std::collections::BTreeSet;
use std::fmt;

use crate::packet::Packet;
use crate::program::Program;
use crate::run::Transcript;

/// The first difference between two transcripts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Difference {
    /// The kind of step, or "login", or "tables".
    pub(crate) at: String,
    /// The difference: a field, or two kinds of packets.
    pub(crate) what: String,
    /// The step, if it is one.
    pub(crate) step: Option<usize>,
    pub(crate) direct: String,
    pub(crate) proxy: String,
    /// Differences of the tables at the end, where none of them is the first one.
    pub(crate) after: Vec<String>,
}

impl Difference {
    /// A short name under which it is counted.
    pub(crate) fn signature(&self) -> String {
        format!("{} | {}", self.at, self.what)
    }

    /// Whether rows are lost, doubled or others, or a session is left over.
    pub(crate) fn is_grave(&self) -> bool {
        let is_of_state = self.at.starts_with("table ") || self.at == "session";
        self.step.is_some() && !self.after.is_empty() || is_of_state
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step.map_or_else(String::new, |step| format!(" of step {step}"));
        writeln!(f, "  differs: {}{step}", self.signature())?;
        writeln!(f, "    direct: {}", self.direct)?;
        write!(f, "    proxy:  {}", self.proxy)?;
        self.after.iter().try_for_each(|after| write!(f, "\n    then:   {after}"))
    }
}

/// The first difference that `passed` does not let pass.
pub(crate) fn difference(
    program: &Program,
    direct: &Transcript,
    proxy: &Transcript,
    mut passed: impl FnMut(&Difference) -> bool,
) -> Option<Difference> {
    let mut is_new = |found: &Difference| !passed(found);
    let tables = of_tables(direct, proxy);
    if let Some(found) = of_left_over(direct, proxy).filter(&mut is_new) {
        return Some(found);
    }
    let logins = direct.logins.iter().zip(&proxy.logins);
    for (direct, proxy) in logins {
        let found = of_packets(direct, proxy, None, |_| "login".into());
        if let Some(found) = found.into_iter().find(&mut is_new) {
            return Some(found);
        }
    }
    let steps = direct.steps.iter().zip(&proxy.steps).zip(&program.steps).enumerate();
    for (index, ((direct, proxy), step)) in steps {
        let found = of_packets(direct, proxy, Some(index), |at| step.action.tag(at));
        if let Some(found) = found.into_iter().find(&mut is_new) {
            let after = tables.iter().map(|table| {
                let (direct, proxy) = (&table.direct, &table.proxy);
                format!("{}: direct {direct}, proxy {proxy}", table.signature())
            });
            return Some(Difference { after: after.collect(), ..found });
        }
    }
    tables.into_iter().find(is_new)
}

/// The first difference between two answers to one step, with ids `masked` or not.
pub(crate) fn of_step(direct: &[Packet], proxy: &[Packet], masked: bool) -> Option<Difference> {
    let of = |packets: &[Packet]| -> Vec<Packet> {
        packets.iter().map(|one| if masked { one.masked() } else { one.clone() }).collect()
    };
    let found = of_packets(&of(direct), &of(proxy), None, |_| String::new());
    found.into_iter().find(|found| found.what != "ok.id" && found.what != "row.bytes")
}

/// The differences between the answers to one step: those within packets, up to the first one in their
/// order.
fn of_packets(
    direct: &[Packet],
    proxy: &[Packet],
    step: Option<usize>,
    tag: impl Fn(usize) -> String,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut answered = 0;
    for (one, other) in direct.iter().zip(proxy) {
        let new = |what, direct, proxy| Difference {
            at: tag(answered),
            what,
            step,
            direct,
            proxy,
            after: Vec::new(),
        };
        if one.title() != other.title() {
            let what = format!("{} -> {}", one.title(), other.title());
            found.push(new(what, clipped(&one.to_string()), clipped(&other.to_string())));
            return found;
        }
        for ((name, value), (_, seen)) in one.fields.iter().zip(&other.fields) {
            if value != seen {
                let which = which(name, value, seen);
                let what = format!("{}.{name}{which}", one.kind);
                found.push(new(what, clipped(value), clipped(seen)));
            }
        }
        answered += usize::from(one.ends);
    }
    if direct.len() != proxy.len() {
        let [one, other] = [direct, proxy].map(|packets| {
            packets
                .get(direct.len().min(proxy.len()))
                .map_or_else(|| "nothing".into(), Packet::title)
        });
        let what = format!("{one} -> {other}");
        found.push(Difference {
            at: tag(answered),
            what,
            step,
            direct: listed(direct),
            proxy: listed(proxy),
            after: Vec::new(),
        });
    }
    found
}

/// A session that outlives its client keeps its locks, and nobody ends it.
fn of_left_over(direct: &Transcript, proxy: &Transcript) -> Option<Difference> {
    let [one, other] = [direct, proxy].map(|side| side.left_over.as_slice());
    (one.len() < other.len()).then(|| Difference {
        at: "session".into(),
        what: "left over".into(),
        step: None,
        direct: clipped(&one.join(" / ")),
        proxy: clipped(&other.join(" / ")),
        after: Vec::new(),
    })
}

fn of_tables(direct: &Transcript, proxy: &Transcript) -> Vec<Difference> {
    let (one, other) = (direct.contents.named(), proxy.contents.named());
    let tables = one.iter().zip(&other).filter(|(one, other)| one != other);
    let found = tables.map(|((name, one), (_, other))| {
        let rows = |packets: &[Packet]| -> Vec<String> {
            let rows = packets.iter().filter(|packet| packet.kind == "row");
            rows.filter_map(|row| row.field("values")).map(shortened).collect()
        };
        let (one, other) = (rows(one), rows(other));
        let lost = one.iter().filter(|row| !other.contains(row)).count();
        let more = other.iter().filter(|row| !one.contains(row)).count();
        let is_counter = |row: &&String| row.starts_with(NEXT_ID);
        let differing = one.iter().filter(|row| !other.contains(row));
        let only_counter = lost == 1 && more == 1 && differing.filter(is_counter).count() == 1;
        let what = match (one.len(), other.len()) {
            _ if only_counter => "next id",
            (one, other) if one > other => "rows lost",
            (one, other) if one < other => "rows more",
            _ => "rows differ",
        };
        let name = name.split(':').next().unwrap_or(name);
        Difference {
            at: format!("table {name}"),
            what: what.into(),
            step: None,
            direct: clipped(&one.join(" / ")),
            proxy: clipped(&other.join(" / ")),
            after: Vec::new(),
        }
    });
    found.collect()
}

/// Names the flags and values that differ.
fn which(name: &str, direct: &str, proxy: &str) -> String {
    match name {
        "status" => {
            let [one, other] =
                [direct, proxy].map(|flags| flags.split(" | ").collect::<BTreeSet<_>>());
            let missing = one.difference(&other).filter(|flag| !flag.is_empty());
            let missing = missing.map(|flag| format!("-{flag}"));
            let more = other.difference(&one).filter(|flag| !flag.is_empty());
            let all: Vec<_> = missing.chain(more.map(|flag| format!("+{flag}"))).collect();
            format!(" {}", all.join(" "))
        }
        "follow" | "collation" => format!(" {direct} -> {proxy}"),
        _ => String::new(),
    }
}

/// A row, or what is left of a definition that is not new: the next id.
fn shortened(row: &str) -> String {
    match row.split_once("CREATE TABLE") {
        Some((_, rest)) if rest.contains("PRIMARY KEY") => {
            let id = rest.split_once("AUTO_INCREMENT=").map(|(_, id)| id);
            let digits = id.map(|id| id.split(' ').next().unwrap_or_default());
            format!("{NEXT_ID} {}", digits.unwrap_or("none"))
        }
        _ => row.to_owned(),
    }
}

fn listed(packets: &[Packet]) -> String {
    let packets = packets.iter().filter(|packet| packet.kind != "column");
    let all: Vec<_> = packets.map(ToString::to_string).collect();
    clipped(&all.join(" / "))
}

fn clipped(text: &str) -> String {
    text.chars().take(MOST).collect()
}

const NEXT_ID: &str = "next id";

const MOST: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &str) -> Packet {
        Packet::with("row", "values", values)
    }

    #[test]
    fn what_differs_is_named() {
        let found = of_step(&[row("1")], &[row("2")], false).expect("they differ");
        assert_eq!((found.what.as_str(), found.direct.as_str()), ("row.values", "1"));
        let found = of_step(&[row("1")], &[], false).expect("one is missing");
        assert_eq!(found.what, "row -> nothing");
        let error = Packet { ends: true, ..Packet::with("error", "code", 1213) };
        let found = of_step(&[row("1")], &[error], false).expect("another kind");
        assert_eq!(found.what, "row -> error 1213");
        let [one, other] = ["AUTOCOMMIT", "IN_TRANS | AUTOCOMMIT"];
        let status = |flags| Packet::with("ok", "status", flags);
        let found = of_step(&[status(one)], &[status(other)], false).expect("another flag");
        assert_eq!(found.what, "ok.status +IN_TRANS");
    }

    /// Ids are used up by a statement that is done in vain.
    #[test]
    fn new_ids_may_differ_where_they_are_masked() {
        let (one, other) = ([row("2001, 50")], [row("2003, 50")]);
        assert!(of_step(&one, &other, true).is_none());
        assert!(of_step(&one, &other, false).is_some());
        assert!(of_step(&one, &[row("2003, 60")], true).is_some());
    }
}
