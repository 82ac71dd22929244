//! Strays in a file: unknown keys, and other things where tables belong.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::keys::{self, Keys};

/// Something that has no place in the file.
pub(crate) struct Stray {
    /// Where it is in the tree.
    pub(crate) path: String,
    /// The key or table whose value may be missing because of the stray.
    pub(crate) damaged: String,
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) help: String,
}

/// All strays of a document that may have `keys`, elements of one array in their order.
pub(crate) fn find(root: &DeTable<'_>, keys: Keys) -> Vec<Stray> {
    let mut search = Search { keys, strays: Vec::new() };
    for (name, value) in root {
        search.check_top_level(name, value);
    }
    search.strays
}

type Name<'t> = Spanned<Cow<'t, str>>;

struct Search {
    keys: Keys,
    strays: Vec<Stray>,
}

impl Search {
    fn check_top_level(&mut self, name: &Name<'_>, value: &Spanned<DeValue<'_>>) {
        let key = name.get_ref().as_ref();
        match value.get_ref() {
            _ if !self.keys.is_table(key) => {
                if self.keys.find(key).is_none() {
                    self.unknown("", "", name, value.get_ref());
                }
            }
            DeValue::Array(array) if key == keys::ARRAY_OF_TABLES => {
                for (index, element) in array.iter().enumerate() {
                    let path = format!("{key}.{index}");
                    match element.get_ref() {
                        DeValue::Table(table) => self.check_table(key, &path, table),
                        other => self.strays.push(not_a_table(key, &path, element.span(), other)),
                    }
                }
            }
            DeValue::Table(table) if key != keys::ARRAY_OF_TABLES => {
                self.check_table(key, key, table);
            }
            other => self.strays.push(not_a_table(key, key, value.span(), other)),
        }
    }

    fn check_table(&mut self, key: &str, path: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            if self.keys.find(&format!("{key}.{}", name.get_ref())).is_none() {
                self.unknown(key, path, name, value.get_ref());
            }
        }
    }

    fn unknown(&mut self, table: &str, path: &str, name: &Name<'_>, value: &DeValue<'_>) {
        let key = name.get_ref();
        let what = if value.is_table() { "table" } else { "key" };
        let inside = |name: &str| match path {
            "" => name.to_owned(),
            _ => format!("{path}.{name}"),
        };
        self.strays.push(Stray {
            path: inside(key),
            // Where a misspelt key stands, the right one is missing, which need not be said again.
            damaged: inside(self.keys.nearest(table, key).unwrap_or(key)),
            span: name.span(),
            message: format!("unknown {what} `{key}` {}", keys::in_table(table)),
            label: format!("no such {what}"),
            help: self.keys.suggest(table, key),
        });
    }
}

fn not_a_table(key: &str, path: &str, span: Range<usize>, found: &DeValue<'_>) -> Stray {
    let header = keys::header(key);
    Stray {
        path: path.to_owned(),
        damaged: key.to_owned(),
        span,
        message: format!("`{key}` is a table"),
        label: format!("{} where the table {header} belongs", found.type_str()),
        help: format!("write {header} on a line of its own, and its keys below it"),
    }
}
