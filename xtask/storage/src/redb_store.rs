//! redb, shared between processes by its `MultiWriter` mode (new in 4.5; in
//! the default mode a second process cannot open the file at all).
//!
//! Look-ups open the file read-only: closing a writable handle syncs the disk
//! even where nothing was written.

use std::path::{Path, PathBuf};

use redb::{
    Builder, ConcurrencyMode, Database, Durability, ReadOnlyDatabase, ReadableDatabase,
    ReadableTable, TableDefinition, TableError,
};

use crate::data::Key;
use crate::store::{Entry, Result, Store};

const BODY: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("body");
const USED: TableDefinition<&[u8; 32], i64> = TableDefinition::new("used");

pub struct Redb {
    path: PathBuf,
    reader: Option<ReadOnlyDatabase>,
    table: Option<redb::ReadOnlyTable<&'static [u8; 32], &'static [u8]>>,
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::MultiWriter);
    builder
}

impl Redb {
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("store.redb");
        let reader = match builder().open_read_only(&path) {
            Ok(reader) => Some(reader),
            Err(_) if !path.exists() => None,
            Err(_) => {
                // Perhaps it was left by a killed writer: a writable handle repairs it.
                builder().open(&path)?.close()?;
                Some(builder().open_read_only(&path)?)
            }
        };
        let table = match &reader {
            None => None,
            Some(reader) => match reader.begin_read()?.open_table(BODY) {
                Ok(table) => Some(table),
                Err(TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(error.into()),
            },
        };
        Ok(Redb {
            path,
            reader,
            table,
        })
    }

    /// The writable handle; the reader, now stale, goes.
    fn writer(&mut self) -> Result<Database> {
        self.table = None;
        self.reader = None;
        Ok(builder().create(&self.path)?)
    }
}

impl Store for Redb {
    fn get(&mut self, _unit: u64, key: &Key) -> Result<Option<Vec<u8>>> {
        let Some(table) = &self.table else {
            return Ok(None);
        };
        Ok(table.get(key)?.map(|value| value.value().to_vec()))
    }

    fn insert(&mut self, _unit: u64, entries: &[Entry], now: i64) -> Result<()> {
        let db = self.writer()?;
        let mut write = db.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let mut body = write.open_table(BODY)?;
            let mut used = write.open_table(USED)?;
            for (key, value) in entries {
                body.insert(key, &value[..])?;
                used.insert(key, now)?;
            }
        }
        write.commit()?;
        Ok(db.close()?)
    }

    fn touch(&mut self, _unit: u64, keys: &[Key], now: i64) -> Result<()> {
        let db = self.writer()?;
        let write = db.begin_write()?;
        {
            let mut used = write.open_table(USED)?;
            for key in keys {
                used.insert(key, now)?;
            }
        }
        write.commit()?;
        Ok(db.close()?)
    }

    fn evict(&mut self, count: u64) -> Result<()> {
        let mut db = self.writer()?;
        let write = db.begin_write()?;
        {
            let mut body = write.open_table(BODY)?;
            let mut used = write.open_table(USED)?;
            let mut all = Vec::new();
            for entry in used.iter()? {
                let (key, time) = entry?;
                all.push((time.value(), *key.value()));
            }
            all.sort_unstable();
            for (_, key) in all.iter().take(count as usize) {
                body.remove(key)?;
                used.remove(key)?;
            }
        }
        write.commit()?;
        db.compact()?;
        Ok(db.close()?)
    }
}
