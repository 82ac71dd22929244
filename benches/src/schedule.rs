//! In which order a round visits the targets.
//!
//! The machine is shared and its speed drifts, so every round visits every target, and the order is
//! balanced (a Williams design): over [`cycle`] rounds each target has each place equally often, and
//! comes right after each other target equally often. So neither a drift nor what the one before
//! left in the caches favours anybody.

/// The order in which round `round` visits `targets` targets.
pub(crate) fn order(round: usize, targets: usize) -> impl Iterator<Item = usize> {
    // 0, 1, n-1, 2, n-2, … has every difference between neighbours once; adding the number of the
    // round gives the other rows. With an odd number of targets the mirrored rows are needed too.
    let mirrored = targets % 2 == 1 && (round / targets.max(1)) % 2 == 1;
    let zigzag = move |place: usize| {
        if place % 2 == 1 { place.div_ceil(2) } else { (targets - place / 2) % targets }
    };
    (0..targets).map(move |place| {
        let place = if mirrored { targets - 1 - place } else { place };
        (zigzag(place) + round) % targets
    })
}

/// After so many rounds the orders begin again.
pub(crate) fn cycle(targets: usize) -> usize {
    if targets.is_multiple_of(2) { targets } else { 2 * targets }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Whoever always went last, or always after the slowest, would be measured worse than it is.
    #[test]
    fn no_target_is_favoured() {
        for targets in 1..=7 {
            let (mut places, mut neighbours) = (HashMap::new(), HashMap::new());
            for round in 0..cycle(targets) {
                let order: Vec<_> = order(round, targets).collect();
                for (place, target) in order.iter().enumerate() {
                    *places.entry((place, *target)).or_insert(0) += 1;
                }
                for pair in order.windows(2) {
                    *neighbours.entry((pair[0], pair[1])).or_insert(0) += 1;
                }
            }
            let times = cycle(targets) / targets;
            assert_eq!(places.len(), targets * targets, "{targets} targets");
            assert!(places.values().all(|count| *count == times), "{targets}: {places:?}");
            assert_eq!(neighbours.len(), targets * (targets - 1), "{targets} targets");
            assert!(neighbours.values().all(|count| *count == times), "{targets}: {neighbours:?}");
        }
    }
}
