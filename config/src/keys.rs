//! The keys that a file may have, each with what it takes: for messages about wrong values and unknown keys.

/// One key.
pub(crate) struct Key {
    /// Table and name, as in `listen.addresses`; `users.name` stands for every `[[users]]`.
    pub(crate) path: &'static str,
    /// Values to take, as the end of a sentence that begins with "it takes".
    pub(crate) takes: &'static str,
}

/// A key.
pub(crate) const fn key(path: &'static str, takes: &'static str) -> Key {
    Key { path, takes }
}

/// Every key of a file, once.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    /// Name and keys of each table, in the order of the shipped example; the top level has the empty name.
    pub(crate) tables: &'static [(&'static str, &'static [Key])],
}

impl Keys {
    /// All keys, in the order of the shipped example.
    pub(crate) fn all(self) -> impl Iterator<Item = &'static Key> {
        self.tables.iter().flat_map(|(_, keys)| *keys)
    }

    /// The key at `path` of the file, in which elements of arrays have an index.
    pub(crate) fn find(self, path: &str) -> Option<&'static Key> {
        let path = without_indices(path);
        self.all().find(|key| key.path == path)
    }

    /// Whether `name` is a table of the file.
    pub(crate) fn is_table(self, name: &str) -> bool {
        self.table_names().any(|table| table == name)
    }

    /// The name in `table` that an unknown `name` was probably meant to be.
    pub(crate) fn nearest(self, table: &str, name: &str) -> Option<&'static str> {
        let name = name.to_lowercase().replace('-', "_");
        self.names(table)
            .into_iter()
            .map(|known| (strsim::damerau_levenshtein(&name, known), known))
            .min()
            .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
            .map(|(_, known)| known)
    }

    /// Advice about an unknown `name` in `table`: the nearest name there, or the table where `name` exists,
    /// and all names of `table`.
    pub(crate) fn suggest(self, table: &str, name: &str) -> String {
        let list = format!("{} takes: {}", header(table), self.names(table).join(", "));
        if let Some(near) = self.nearest(table, name) {
            return format!("did you mean `{near}`? {list}");
        }
        let elsewhere = self.all().map(|key| split(key.path)).find(|(_, known)| *known == name);
        match elsewhere {
            Some((other, _)) => format!("`{name}` belongs {}; {list}", in_table(other)),
            None => list,
        }
    }

    /// All that may stand in `table`.
    fn names(self, table: &str) -> Vec<&'static str> {
        let keys = self.all().map(|key| split(key.path));
        let mut names: Vec<&str> =
            keys.filter(|(parent, _)| *parent == table).map(|(_, name)| name).collect();
        if table.is_empty() {
            names.extend(self.table_names());
        }
        names
    }

    fn table_names(self) -> impl Iterator<Item = &'static str> {
        self.tables.iter().map(|(name, _)| *name).filter(|name| !name.is_empty())
    }
}

/// `users.1.name` is the key `users.name`.
pub(crate) fn without_indices(path: &str) -> String {
    let steps: Vec<&str> = path.split('.').filter(|step| step.parse::<usize>().is_err()).collect();
    steps.join(".")
}

/// How the table is written in the file; the top level has the empty name.
pub(crate) fn header(table: &str) -> String {
    match table {
        "" => "the top level".to_owned(),
        ARRAY_OF_TABLES => format!("[[{table}]]"),
        _ => format!("[{table}]"),
    }
}

/// `in [table]`
pub(crate) fn in_table(table: &str) -> String {
    let preposition = if table.is_empty() { "at" } else { "in" };
    format!("{preposition} {}", header(table))
}

/// The table of a key, and its name there.
fn split(path: &'static str) -> (&'static str, &'static str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// The table that may stand several times.
pub(crate) const ARRAY_OF_TABLES: &str = "users";
