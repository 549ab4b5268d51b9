//! What every `list` verb does: page by page, then a table or the API's JSON.

use clap::Args;
use lockgate_domain::Timestamp;
use serde::de::DeserializeOwned;

use crate::console::Console;
use crate::control::{Ask, Client, HostArguments, show};
use crate::failure::Failure;
use crate::table::Table;

/// How much of a list is shown.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Most {
    /// Show at most this many
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl Most {
    /// The number.
    pub(crate) fn count(self) -> usize {
        self.limit as usize
    }
}

/// How a list looks.
pub(crate) struct Shown<'a, T> {
    /// Its items as a table.
    pub(crate) table: fn(&[T], Timestamp) -> Table,
    /// What is said when there is none.
    pub(crate) nothing: &'a str,
}

/// Lists what is under `path`.
pub(crate) async fn list<T: DeserializeOwned>(
    (host, console): (&HostArguments, &Console),
    client: &mut Client,
    path: &str,
    most: Most,
    shown: Shown<'_, T>,
) -> Result<(), Failure> {
    let listing = client.list(|| Ask::get(path), most.count()).await?;
    host.print(console, &listing.to_json(), || {
        let table = (shown.table)(&listing.parse()?, show::now());
        Ok(show::table(&table, &listing, shown.nothing))
    })
}
