//! Columns and rows with which a command answers.

use std::fmt::Display;
use std::io;

use opensrv_mysql::{Column, ColumnFlags, ColumnType, QueryResultWriter};
use tokio::io::AsyncWrite;

/// A result set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    columns: Vec<String>,
    /// Each as long as `columns`.
    rows: Vec<Vec<Cell>>,
}

/// One value; `None` is NULL. Everything travels as text, as text protocol does anyway.
pub(super) type Cell = Option<String>;

/// A value as it is shown.
pub(super) fn cell(value: impl Display) -> Cell {
    Some(value.to_string())
}

impl Table {
    /// A table without rows.
    pub(super) fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self { columns: columns.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    /// A table of one row, given as pairs of column and value.
    pub(super) fn of_one_row(values: Vec<(String, Cell)>) -> Self {
        let (columns, row) = values.into_iter().unzip();
        Self { columns, rows: vec![row] }
    }

    /// Adds a row, one value for each column.
    pub(super) fn push<const N: usize>(&mut self, row: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(row.into());
    }

    /// Sends it as the answer to a query.
    pub(super) async fn send<W: AsyncWrite + Unpin>(
        self,
        results: QueryResultWriter<'_, W>,
    ) -> io::Result<()> {
        let columns: Vec<_> = self.columns.into_iter().map(text_column).collect();
        let mut writer = results.start(&columns).await?;
        for row in self.rows {
            for cell in row {
                writer.write_col(cell)?;
            }
            writer.end_row().await?;
        }
        writer.finish().await
    }
}

fn text_column(name: String) -> Column {
    Column {
        table: String::new(),
        column: name,
        coltype: ColumnType::MYSQL_TYPE_VAR_STRING,
        colflags: ColumnFlags::empty(),
    }
}
