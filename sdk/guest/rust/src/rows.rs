//! A loop over documents that costs one host call per column and not one per row.
//!
//! A column is fetched whole when a row first asks for it, and written back whole, once, after the
//! last row; when the loop fails nothing is written. Memory: the columns that the loop touches.

use std::any::Any;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::column::json_text;
use crate::{Column, Documents, Result, Tensor, TextValue, Texts, host};

/// One document of the loop: reads show what the loop wrote before.
#[derive(Debug)]
pub struct DocumentRow<'a> {
    row: usize,
    sheet: &'a mut Sheet,
}

impl Documents {
    /// Calls `work` for every document of the list, in order.
    ///
    /// # Errors
    /// The first of `work`, or that of reading or writing a column.
    pub fn for_each(&mut self, mut work: impl FnMut(&mut DocumentRow<'_>) -> Result<()>) -> Result<()> {
        let mut sheet = Sheet { count: host::len(), slots: Chain::default() };
        for row in 0..sheet.count as usize {
            work(&mut DocumentRow { row, sheet: &mut sheet })?;
        }
        sheet.write_back()
    }
}

macro_rules! plain {
    ($($get:ident $set:ident $type:ty,)*) => {
        impl DocumentRow<'_> {
            $(
                #[doc = concat!("The value of a column as `", stringify!($type), "`, `None` without one.")]
                ///
                /// # Errors
                /// `invalid_argument` when the column has another kind.
                pub fn $get(&self, column: &str) -> Result<Option<$type>> {
                    Ok(self.sheet.slots.get::<Slot<$type>>(column).read(self.row, self.sheet.column(column))?.copied())
                }

                #[doc = concat!("Writes a value of a `", stringify!($type), "` column, `None` to remove it.")]
                pub fn $set(&mut self, column: &str, value: impl Into<Option<$type>>) {
                    self.sheet.slots.get_mut::<Slot<$type>>(column).write(self.row, value.into());
                }
            )*
        }
    };
}

plain! {
    integer set_integer i64,
    number set_number f64,
    boolean set_boolean bool,
}

impl DocumentRow<'_> {
    /// The document's row.
    #[must_use]
    pub const fn row(&self) -> usize {
        self.row
    }

    /// The id.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind.
    pub fn id(&self) -> Result<&str> {
        self.text_of("id").map(Option::unwrap_or_default)
    }

    /// The text, empty when the document has none.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind.
    pub fn text(&self) -> Result<&str> {
        self.text_of("text").map(Option::unwrap_or_default)
    }

    /// Writes the text, `None` to remove it.
    pub fn set_text(&mut self, value: impl TextValue) {
        self.set_text_of("text", value);
    }

    /// The value of a text column, `None` without one.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind.
    pub fn text_of(&self, column: &str) -> Result<Option<&str>> {
        self.sheet.slots.get::<TextSlot>(column).read(self.row, self.sheet.column(column))
    }

    /// Writes a value of a text column, `None` to remove it.
    pub fn set_text_of(&mut self, column: &str, value: impl TextValue) {
        self.sheet.slots.get_mut::<TextSlot>(column).write(self.row, value);
    }

    /// The value of a bytes column, `None` without one.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind.
    pub fn bytes(&self, column: &str) -> Result<Option<&[u8]>> {
        Ok(self
            .sheet
            .slots
            .get::<Slot<Vec<u8>>>(column)
            .read(self.row, self.sheet.column(column))?
            .map(Vec::as_slice))
    }

    /// Writes a value of a bytes column, `None` to remove it.
    pub fn set_bytes(&mut self, column: &str, value: impl Into<Option<Vec<u8>>>) {
        self.sheet.slots.get_mut::<Slot<Vec<u8>>>(column).write(self.row, value.into());
    }

    /// The tags as `T`, its default when the document has none.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind or the value is no `T`.
    pub fn tags<T: DeserializeOwned + Default>(&self) -> Result<T> {
        self.json("tags").map(Option::unwrap_or_default)
    }

    /// Writes the tags.
    ///
    /// # Errors
    /// `internal` when the value has no JSON form.
    pub fn set_tags(&mut self, value: impl Serialize) -> Result<()> {
        self.set_json("tags", value)
    }

    /// Sets one tag and keeps the others.
    ///
    /// # Errors
    /// `invalid_argument` when the tags are no JSON object; `internal` when the value has no JSON form.
    pub fn set_tag(&mut self, name: &str, value: impl Serialize) -> Result<()> {
        let mut tags: BTreeMap<String, Box<serde_json::value::RawValue>> = self.tags()?;
        tags.insert(name.into(), serde_json::value::to_raw_value(&value)?);
        self.set_tags(tags)
    }

    /// The value of a json column as `T`, `None` without one.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind or the value is no `T`.
    pub fn json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        let whole = self.sheet.column(column);
        let text = self.sheet.slots.get::<Slot<JsonText>>(column).read(self.row, whole)?;
        text.map(|text| whole.parse(self.row, &text.0)).transpose()
    }

    /// Writes a value of a json column; what serialises as `null` is no value.
    ///
    /// # Errors
    /// `internal` when the value has no JSON form.
    pub fn set_json(&mut self, column: &str, value: impl Serialize) -> Result<()> {
        let text = json_text(&value)?.map(JsonText);
        self.sheet.slots.get_mut::<Slot<JsonText>>(column).write(self.row, text);
        Ok(())
    }

    /// The value of a tensor column, `None` without one.
    ///
    /// # Errors
    /// `invalid_argument` when the column has another kind.
    pub fn tensor(&self, column: &str) -> Result<Option<&Tensor>> {
        self.sheet.slots.get::<Slot<Tensor>>(column).read(self.row, self.sheet.column(column))
    }

    /// Writes a value of a tensor column, `None` to remove it.
    pub fn set_tensor(&mut self, column: &str, value: impl Into<Option<Tensor>>) {
        self.sheet.slots.get_mut::<Slot<Tensor>>(column).write(self.row, value.into());
    }

    /// Writes the embedding.
    pub fn set_embedding(&mut self, value: &[f32]) {
        self.set_tensor("embedding", Tensor::vector(value));
    }
}

/// Everything the loop has fetched and written.
#[derive(Debug)]
struct Sheet {
    count: u32,
    slots: Chain,
}

impl Sheet {
    const fn column<'a>(&self, name: &'a str) -> Column<'a> {
        Column::new(name, 0, self.count)
    }

    fn write_back(self) -> Result<()> {
        let mut chain = self.slots;
        while let Some(link) = chain.first.into_inner() {
            let Link { name, slot, next } = *link;
            slot.write_back(Column::new(&name, 0, self.count))?;
            chain = next;
        }
        Ok(())
    }
}

/// A column of one kind that the loop touches. Behind `dyn`, so that a component contains the code
/// of the kinds that it uses and of no other.
trait Touched: Any + std::fmt::Debug {
    fn write_back(self: Box<Self>, column: Column<'_>) -> Result<()>;
}

/// Slots by column name and kind. Grows behind a shared reference and never moves a slot, so that a
/// row may hold a borrowed value of one column while it asks for another.
#[derive(Debug, Default)]
struct Chain {
    first: OnceCell<Box<Link>>,
}

#[derive(Debug)]
struct Link {
    name: Box<str>,
    slot: Box<dyn Touched>,
    next: Chain,
}

impl Chain {
    fn get<S: Touched + Default>(&self, name: &str) -> &S {
        let mut chain = self;
        loop {
            let link = chain.first.get_or_init(|| Link::empty::<S>(name));
            if let Some(slot) = link.slot::<S>(name) {
                return slot;
            }
            chain = &link.next;
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "found two lines above; the borrow checker cannot return it from there"
    )]
    fn get_mut<S: Touched + Default>(&mut self, name: &str) -> &mut S {
        let is_here = self.first.get_or_init(|| Link::empty::<S>(name)).slot::<S>(name).is_some();
        let link = self.first.get_mut().expect("the link that was just read");
        if is_here {
            let slot: &mut dyn Any = &mut *link.slot;
            slot.downcast_mut().expect("the slot that was just found")
        } else {
            link.next.get_mut(name)
        }
    }
}

impl Link {
    fn empty<S: Touched + Default>(name: &str) -> Box<Self> {
        Box::new(Self { name: name.into(), slot: Box::new(S::default()), next: Chain::default() })
    }

    fn slot<S: Touched>(&self, name: &str) -> Option<&S> {
        let slot: &dyn Any = &*self.slot;
        slot.downcast_ref().filter(|_| *self.name == *name)
    }
}

/// One text column: rows are written in ascending order, straight into the packed form.
#[derive(Debug, Default)]
struct TextSlot {
    fetched: OnceCell<Texts>,
    data: String,
    written: Vec<Written>,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    row: usize,
    start: usize,
    missing: bool,
}

impl TextSlot {
    fn read(&self, row: usize, column: Column<'_>) -> Result<Option<&str>> {
        if let Some(last) = self.written.last().filter(|last| last.row == row) {
            return Ok(self.data.get(last.start..).filter(|_| !last.missing));
        }
        Ok(fetch(&self.fetched, || column.texts())?.get(row))
    }

    fn write(&mut self, row: usize, value: impl TextValue) {
        if let Some(last) = self.written.pop_if(|last| last.row == row) {
            self.data.truncate(last.start);
        }
        let (start, value) = (self.data.len(), value.as_text());
        self.data.push_str(value.unwrap_or_default());
        self.written.push(Written { row, start, missing: value.is_none() });
    }
}

impl Touched for TextSlot {
    fn write_back(self: Box<Self>, column: Column<'_>) -> Result<()> {
        if self.written.is_empty() {
            return Ok(());
        }
        let fetched = if self.written.len() == column.len() {
            Texts::new()
        } else {
            taken(self.fetched, || column.texts())?
        };
        let mut texts = Texts::with_capacity(column.len(), self.data.len().max(fetched.bytes()));
        let mut written = self.written.iter().peekable();
        for row in 0..column.len() {
            match written.next_if(|written| written.row == row) {
                Some(here) => {
                    let end = written.peek().map_or(self.data.len(), |next| next.start);
                    texts.push(self.data.get(here.start..end).filter(|_| !here.missing))?;
                }
                None => texts.push(fetched.get(row))?,
            }
        }
        column.set_packed(&texts)
    }
}

/// One column of any other kind; rows are written in ascending order.
#[derive(Debug)]
struct Slot<T> {
    fetched: OnceCell<Vec<Option<T>>>,
    written: Vec<(usize, Option<T>)>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { fetched: OnceCell::new(), written: Vec::new() }
    }
}

impl<T: Value> Slot<T> {
    fn read(&self, row: usize, column: Column<'_>) -> Result<Option<&T>> {
        if let Some((_, value)) = self.written.last().filter(|(last, _)| *last == row) {
            return Ok(value.as_ref());
        }
        Ok(fetch(&self.fetched, || T::fetch(column))?.get(row).and_then(Option::as_ref))
    }

    fn write(&mut self, row: usize, value: Option<T>) {
        self.written.pop_if(|(last, _)| *last == row);
        self.written.push((row, value));
    }
}

impl<T: Value> Touched for Slot<T> {
    fn write_back(self: Box<Self>, column: Column<'_>) -> Result<()> {
        if self.written.is_empty() {
            return Ok(());
        }
        if self.written.len() == column.len() {
            return T::store(column, self.written.into_iter().map(|(_, value)| value).collect());
        }
        let mut values = taken(self.fetched, || T::fetch(column))?;
        for (row, value) in self.written {
            if let Some(slot) = values.get_mut(row) {
                *slot = value;
            }
        }
        T::store(column, values)
    }
}

/// The text of a JSON value, to tell it from a text.
#[derive(Debug)]
struct JsonText(String);

/// A type whose values one column kind holds.
trait Value: Sized + std::fmt::Debug + 'static {
    fn fetch(column: Column<'_>) -> Result<Vec<Option<Self>>>;
    fn store(column: Column<'_>, values: Vec<Option<Self>>) -> Result<()>;
}

macro_rules! stored {
    ($($type:ty: $get:ident $set:ident,)*) => {
        $(impl Value for $type {
            fn fetch(column: Column<'_>) -> Result<Vec<Option<Self>>> {
                column.$get()
            }

            fn store(column: Column<'_>, values: Vec<Option<Self>>) -> Result<()> {
                column.$set(values)
            }
        })*
    };
}

stored! {
    Vec<u8>: bytes set_bytes,
    i64: integers set_integers,
    f64: numbers set_numbers,
    bool: booleans set_booleans,
    Tensor: tensors set_tensors,
}

impl Value for JsonText {
    fn fetch(column: Column<'_>) -> Result<Vec<Option<Self>>> {
        Ok(column.json_texts()?.into_iter().map(|text| text.map(Self)).collect())
    }

    fn store(column: Column<'_>, values: Vec<Option<Self>>) -> Result<()> {
        column.set_json_texts(&values.into_iter().map(|text| text.map(|text| text.0)).collect::<Vec<_>>())
    }
}

fn fetch<T>(cell: &OnceCell<T>, load: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(values) => Ok(values),
        None => {
            let values = load()?;
            Ok(cell.get_or_init(|| values))
        }
    }
}

fn taken<T>(cell: OnceCell<T>, load: impl FnOnce() -> Result<T>) -> Result<T> {
    cell.into_inner().map_or_else(load, Ok)
}
