//! Promises of the project about its speed and size, held against what was measured.

use super::commit;
use super::everything::Everything;
use super::verdict::{MET, PROXY, Verdict, at_most, below, missed};
use crate::series::{Paired, Series, find};
use crate::stand::Way;
use crate::workload::dump::Dumps;
use crate::workload::failover::runs::{Failovers, Seen, Who};

/// Every promise that `everything` has numbers for.
pub(super) fn verdicts(everything: &Everything) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if let Some(latency) = &everything.latency {
        verdicts.extend(added(&latency.numbers.do_1));
    }
    if let Some(throughput) = &everything.throughput {
        let batch = &throughput.numbers.batch;
        let hundred = &throughput.numbers.results.hundred;
        verdicts.extend(PROXY.iter().filter_map(|way| batch_ratio(batch, *way)));
        verdicts.extend(PROXY.iter().filter_map(|way| carried(hundred, *way)));
        verdicts.extend(PROXY.iter().filter_map(|way| memory(hundred, *way)));
    }
    if let Some(sessions) = &everything.sessions {
        let ours = sessions.numbers.iter().filter(|sessions| PROXY.contains(&sessions.way));
        verdicts.extend(ours.map(|sessions| {
            let what = format!("memory with 1,000 idle sessions, {}", sessions.way.label());
            below(what, "MB", 1, 100.0, sessions.idle as f64 / 1e6)
        }));
    }
    if let Some(commit) = &everything.commit {
        verdicts.extend(commit::verdicts(&commit.numbers));
    }
    if let Some(icinga) = &everything.icinga {
        verdicts.extend(PROXY.iter().filter_map(|way| dump(&icinga.numbers, *way)));
    }
    if let Some(failover) = &everything.failover {
        verdicts.push(carried_through(&failover.numbers));
    }
    verdicts
}

/// The median over rounds of the ratio of a way's dump to direct's.
pub(super) fn dump_ratio(dumps: &Dumps, way: Way) -> Option<Paired> {
    let of = |way: Way, round: usize| {
        let dump = dumps.dumps.iter().find(|dump| dump.way == way && dump.round == round);
        dump.map(|dump| dump.seconds)
    };
    let rounds = 0..dumps.size.repeat;
    let ratios = rounds.filter_map(|round| Some(of(way, round)? / of(Way::Direct, round)?));
    let ratios: Vec<_> = ratios.collect();
    (!ratios.is_empty()).then(|| Paired::over(ratios))
}

fn added(do_1: &[Series]) -> Vec<Verdict> {
    let of = |way| Some(find(do_1, way)?.added(find(do_1, Way::Direct)?).median / 1e3);
    let Some(haproxy) = of(Way::Haproxy) else {
        return Vec::new();
    };
    let verdict = |way: Way| {
        let what = format!("DO 1: added p50 over direct TCP, {}", way.label());
        let verdict = at_most(what, "µs", 1, haproxy, of(way)?);
        Some(Verdict { goal: format!("{} (HAProxy's)", verdict.goal), ..verdict })
    };
    PROXY.iter().filter_map(|way| verdict(*way)).collect()
}

fn batch_ratio(batch: &[Series], way: Way) -> Option<Verdict> {
    let ratio = find(batch, way)?.ratio(find(batch, Way::Direct)?).median;
    Some(at_most(format!("Icinga's batch: time to direct, {}", way.label()), "", 3, 1.03, ratio))
}

fn carried(hundred: &[Series], way: Way) -> Option<Verdict> {
    let ratio = 1.0 / find(hundred, way)?.ratio(find(hundred, Way::Direct)?).median;
    let what = format!("100 MB result: throughput to direct, {}", way.label());
    let outcome = if ratio >= 0.95 { MET.into() } else { missed(0.95 - ratio, "", 3) };
    Some(Verdict { what, goal: "at least 0.950".into(), measured: format!("{ratio:.3}"), outcome })
}

fn memory(hundred: &[Series], way: Way) -> Option<Verdict> {
    let peak = find(hundred, way)?.peak_memory as f64 / 1e6;
    let what = format!("memory throughout 100 MB results, {}", way.label());
    Some(below(what, "MB", 1, 24.0, peak))
}

fn dump(dumps: &Dumps, way: Way) -> Option<Verdict> {
    let ratio = dump_ratio(dumps, way)?.median;
    let what = format!("Icinga's first dump: time to direct, {}", way.label());
    Some(at_most(what, "", 3, 1.03, ratio))
}

/// Errors and losses that ido-proxy's clients met when a node was lost; a pause is none.
fn carried_through(failovers: &Failovers) -> Verdict {
    let seen: Vec<&Seen> = failovers.runs.iter().filter_map(|run| run.seen(Who::Proxy)).collect();
    let sum = |count: fn(&Seen) -> u64| seen.iter().map(|seen| count(seen)).sum::<u64>();
    let (errors, lost) = (sum(|seen| seen.errors), sum(|seen| seen.lost));
    let doubled = sum(|seen| seen.doubled);
    let wrong = errors + lost + doubled;
    Verdict {
        what: "the primary is lost: errors, transactions lost, transactions twice".into(),
        goal: "none".into(),
        measured: format!("{errors}, {lost}, {doubled} in {} runs", seen.len()),
        outcome: if wrong == 0 { MET.into() } else { missed(wrong as f64, "", 0) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::tests::series;
    use crate::workload::dump::{Dump, Size};
    use crate::workload::failover::runs::{Fault, tests::run};

    /// A promise that is broken must be seen to be broken.
    #[test]
    fn what_is_missed_says_by_how_much() {
        let do_1 = [
            series(Way::Direct, &[20_000]),
            series(Way::Proxy, &[46_000]),
            series(Way::ProxyUnix, &[44_000]),
            series(Way::Haproxy, &[45_000]),
        ];
        let outcomes: Vec<_> = added(&do_1).into_iter().map(|verdict| verdict.outcome).collect();
        assert_eq!(outcomes, ["**missed by 1.0 µs**", "met"]);

        let hundred = [series(Way::Direct, &[90_000]), series(Way::Proxy, &[100_000])];
        let verdict = carried(&hundred, Way::Proxy).expect("both are there");
        assert_eq!((&*verdict.measured, &*verdict.outcome), ("0.900", "**missed by 0.050**"));
        assert_eq!(memory(&hundred, Way::Proxy).map(|verdict| verdict.outcome), Some(MET.into()));
        assert_eq!(carried(&hundred, Way::ProxyUnix), None);
    }

    /// Errors of HAProxy's client do not count.
    #[test]
    fn a_single_error_of_our_client_is_a_missed_promise() {
        let mut run = run(Fault::Kill, [Some(6_000.0), Some(6_010.0), None, None]);
        run.clients[2].errors = 3;
        let verdict =
            |run| carried_through(&Failovers { hangs_after_seconds: 30, runs: vec![run] });
        let clean = verdict(run.clone());
        assert_eq!((&*clean.measured, &*clean.outcome), ("0, 0, 0 in 1 runs", MET));
        run.clients[1].doubled = 1;
        assert_eq!(verdict(run).outcome, "**missed by 1**");
    }

    /// One slow dump of a busy machine is not a slow proxy: dumps of the same round are compared.
    #[test]
    fn dumps_are_compared_within_their_round() {
        let dump = |round, way, seconds| Dump {
            round,
            way,
            seconds,
            commands: 0,
            cpu_seconds: 0.0,
            server_cpu_seconds: 0.0,
            peak_memory: 0,
        };
        let dumps = vec![
            dump(0, Way::Direct, 10.0),
            dump(0, Way::Proxy, 10.2),
            dump(1, Way::Proxy, 20.4),
            dump(1, Way::Direct, 20.0),
        ];
        let dumps = Dumps { size: Size { hosts: 1, services: 1, repeat: 2 }, dumps };
        let ratio = dump_ratio(&dumps, Way::Proxy).expect("there are some").median;
        assert!((ratio - 1.02).abs() < 1e-9, "{ratio}");
        assert_eq!(dump_ratio(&dumps, Way::ProxyUnix), None);
    }
}
