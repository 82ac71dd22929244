//! The order in which nodes are preferred: the same for every proxy that sees the same nodes.

use std::cmp::Ordering;

use crate::cluster::model::node_view::NodeView;

/// By priority (lower first), then by name as a person would sort it, then by address.
pub(crate) fn by_preference(a: &NodeView, b: &NodeView) -> Ordering {
    a.priority
        .cmp(&b.priority)
        .then_with(|| natural(a.name().unwrap_or_default(), b.name().unwrap_or_default()))
        .then_with(|| a.address.cmp(&b.address))
}

/// Compares names as a person would: runs of digits by their value (`node2` before `node10`),
/// everything else by its bytes. A total order: names of equal meaning (`a1`, `a01`) go by bytes.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (Some(l), Some(r)) = (chunk(left), chunk(right)) else {
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        let order = match (digits(l), digits(r)) {
            (Some(l), Some(r)) => l.len().cmp(&r.len()).then_with(|| l.cmp(r)),
            _ => l.cmp(r),
        };
        if order != Ordering::Equal {
            return order;
        }
        left = left.get(l.len()..).unwrap_or_default();
        right = right.get(r.len()..).unwrap_or_default();
    }
}

/// The leading run of digits, or the leading run of anything else; `None` of nothing.
fn chunk(text: &str) -> Option<&str> {
    let number = text.bytes().next()?.is_ascii_digit();
    let end = text.bytes().position(|byte| byte.is_ascii_digit() != number).unwrap_or(text.len());
    text.get(..end)
}

/// A run of digits without its leading zeros.
fn digits(chunk: &str) -> Option<&str> {
    chunk.bytes().next()?.is_ascii_digit().then(|| chunk.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names =
            ["node10", "node9", "db", "node2", "node", "node2b", "node02", "Node1", "1", ""];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(
            names,
            ["", "1", "Node1", "db", "node", "node02", "node2", "node2b", "node9", "node10"]
        );
    }

    #[test]
    fn numbers_longer_than_any_integer_compare() {
        let long = format!("n{}", "9".repeat(60));
        let longer = format!("n1{}", "0".repeat(60));
        assert_eq!(natural(&long, &longer), Ordering::Less);
    }

    proptest! {
        #[test]
        fn it_is_a_total_order(a in "[a-c0-3é]{0,6}", b in "[a-c0-3é]{0,6}", c in "[a-c0-3é]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            if natural(&a, &b).is_le() && natural(&b, &c).is_le() {
                prop_assert!(natural(&a, &c).is_le());
            }
        }
    }
}
