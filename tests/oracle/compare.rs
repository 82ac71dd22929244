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
    /// What differs.
    pub(crate) what: String,
    /// The step, if it is one.
    pub(crate) step: Option<usize>,
    pub(crate) direct: String,
    pub(crate) proxy: String,
}

impl Difference {
    /// A short name under which it is counted.
    pub(crate) fn signature(&self) -> String {
        format!("{} | {}", self.at, self.what)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step.map_or_else(String::new, |step| format!(" of step {step}"));
        writeln!(f, "  differs: {}{step}", self.signature())?;
        writeln!(f, "    direct: {}", self.direct)?;
        write!(f, "    proxy:  {}", self.proxy)
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
            return Some(found);
        }
    }
    of_tables(direct, proxy).into_iter().find(is_new)
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
        let new = |what, direct, proxy| Difference { at: tag(answered), what, step, direct, proxy };
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
            packets.get(direct.len().min(proxy.len())).map_or("nothing".into(), Packet::title)
        });
        let what = format!("{one} -> {other}");
        found.push(Difference {
            at: tag(answered),
            what,
            step,
            direct: listed(direct),
            proxy: listed(proxy),
        });
    }
    found
}

fn of_tables(direct: &Transcript, proxy: &Transcript) -> Vec<Difference> {
    let (one, other) = (direct.contents.named(), proxy.contents.named());
    let tables = one.iter().zip(&other).filter(|(one, other)| one != other);
    let found = tables.map(|((name, one), (_, other))| {
        let rows = |packets: &[Packet]| -> Vec<String> {
            let rows = packets.iter().filter(|packet| packet.kind == "row");
            rows.filter_map(|row| row.field("values")).map(str::to_owned).collect()
        };
        let (one, other) = (rows(one), rows(other));
        let lost = one.iter().filter(|row| !other.contains(row)).count();
        let more = other.iter().filter(|row| !one.contains(row)).count();
        let is_counter = |row: &&String| row.contains("CREATE TABLE");
        let differing = one.iter().filter(|row| !other.contains(row));
        let only_counter = lost == 1 && more == 1 && differing.filter(is_counter).count() == 1;
        let what = match (one.len(), other.len()) {
            _ if only_counter => "definition or next id",
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
        }
    });
    found.collect()
}

/// Of flags and codes: which.
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

fn listed(packets: &[Packet]) -> String {
    let packets = packets.iter().filter(|packet| packet.kind != "column");
    let all: Vec<_> = packets.map(ToString::to_string).collect();
    clipped(&all.join(" / "))
}

fn clipped(text: &str) -> String {
    text.chars().take(MOST).collect()
}

const MOST: usize = 500;
