//! The parsed TOML with the place of everything in it.
//!
//! serde ends at its first error, but a person wants to see all of them. So a value that serde refuses
//! is taken out of the tree and the rest is read again.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

/// A TOML document. Paths into it are written `users.1.name`: keys, and indices of array elements.
pub(crate) struct Tree<'t> {
    root: Spanned<DeTable<'t>>,
    /// Where something is missing from the document as a whole.
    end: usize,
}

/// A value that serde refused.
pub(crate) struct Refused {
    pub(crate) path: String,
    pub(crate) span: Range<usize>,
    /// serde's words.
    pub(crate) message: String,
}

impl<'t> Tree<'t> {
    /// Every syntax error of `text`, or its tree.
    pub(crate) fn parse(text: &'t str) -> Result<Self, Vec<toml::de::Error>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors);
        }
        let end = text.trim_end().len();
        Ok(Self { root, end })
    }

    pub(crate) fn root(&self) -> &DeTable<'t> {
        self.root.get_ref()
    }

    /// Where `path` stands, or the innermost table around it that does exist: for a table its
    /// header, for the document its end.
    pub(crate) fn span(&self, path: &str) -> Range<usize> {
        let mut span = self.end..self.end;
        let mut here = Here::Table(self.root());
        for step in path.split('.') {
            let Some(value) = here.step(step) else { break };
            span = value.span();
            here = Here::of(value.get_ref());
        }
        span
    }

    /// Whether the document has `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        let mut here = Here::Table(self.root());
        path.split('.').all(|step| match here.step(step) {
            Some(value) => {
                here = Here::of(value.get_ref());
                true
            }
            None => false,
        })
    }

    /// Reads the document as a `T`, whose every field must have a default: what serde refuses is
    /// taken out and returned beside it. `None` if a refusal cannot be pinned to a value.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> (Option<T>, Vec<Refused>) {
        let mut refused = Vec::new();
        loop {
            let deserializer = Deserializer::from(self.root.clone());
            let error = match serde_path_to_error::deserialize(deserializer) {
                Ok(value) => return (Some(value), refused),
                Err(error) => error,
            };
            let path = dotted(error.path());
            refused.push(Refused {
                span: self.span(&path),
                message: error.inner().message().to_owned(),
                path: path.clone(),
            });
            if !self.remove(&path) {
                return (None, refused);
            }
        }
    }

    /// Takes `path` out; false if there is no such value.
    pub(crate) fn remove(&mut self, path: &str) -> bool {
        let steps: Vec<&str> = path.split('.').collect();
        remove_from_table(self.root.get_mut(), &steps)
    }
}

/// One level of the tree on the way down a path.
enum Here<'a, 't> {
    Array(&'a DeArray<'t>),
    Leaf,
    Table(&'a DeTable<'t>),
}

impl<'a, 't> Here<'a, 't> {
    fn of(value: &'a DeValue<'t>) -> Self {
        match value {
            DeValue::Array(array) => Self::Array(array),
            DeValue::Table(table) => Self::Table(table),
            _ => Self::Leaf,
        }
    }

    fn step(&self, step: &str) -> Option<&'a Spanned<DeValue<'t>>> {
        match self {
            Self::Array(array) => array.get(step.parse::<usize>().ok()?),
            Self::Leaf => None,
            Self::Table(table) => table.get(step),
        }
    }
}

fn remove_from_table(table: &mut DeTable<'_>, steps: &[&str]) -> bool {
    // Joined, because a key in quotes may have dots of its own.
    if table.remove(steps.join(".").as_str()).is_some() {
        return true;
    }
    let [first, rest @ ..] = steps else {
        return false;
    };
    let value = table.get_mut(*first);
    value.is_some_and(|value| remove_from_value(value.get_mut(), rest))
}

fn remove_from_value(value: &mut DeValue<'_>, steps: &[&str]) -> bool {
    match value {
        DeValue::Array(array) => remove_from_array(array, steps),
        DeValue::Table(table) => remove_from_table(table, steps),
        _ => false,
    }
}

fn remove_from_array(array: &mut DeArray<'_>, steps: &[&str]) -> bool {
    let [first, rest @ ..] = steps else {
        return false;
    };
    let Ok(index) = first.parse::<usize>() else {
        return false;
    };
    if !rest.is_empty() {
        let value = array.get_mut(index);
        return value.is_some_and(|value| remove_from_value(value.get_mut(), rest));
    }
    let before = array.len();
    let kept = std::mem::replace(array, DeArray::new());
    for (at, value) in kept.into_iter().enumerate() {
        if at != index {
            array.push(value);
        }
    }
    array.len() < before
}

fn dotted(path: &serde_path_to_error::Path) -> String {
    let steps: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Enum { .. } | Segment::Unknown => None,
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { index } => Some(index.to_string()),
        })
        .collect();
    steps.join(".")
}
