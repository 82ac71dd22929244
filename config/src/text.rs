//! Reading values that stand in the file as text: a parser `P` accepts the text, and a field keeps the
//! plain `T` in it. Written `#[serde(deserialize_with = "text::one::<_, P, _>")]`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// One value.
pub(crate) fn one<'de, D, P, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    P: FromStr<Err: fmt::Display> + Into<T>,
{
    let Text(parsed) = Text::<P>::deserialize(deserializer)?;
    Ok(parsed.into())
}

/// A value for a key that may be absent.
pub(crate) fn optional<'de, D, P, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    P: FromStr<Err: fmt::Display> + Into<T>,
{
    one::<D, P, T>(deserializer).map(Some)
}

/// An array of values.
pub(crate) fn list<'de, D, P, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    P: FromStr<Err: fmt::Display> + Into<T>,
{
    let parsed = deserializer.deserialize_seq(List::<P>(PhantomData))?;
    Ok(parsed.into_iter().map(Into::into).collect())
}

struct Text<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

struct List<T>(PhantomData<T>);

impl<'de, T: FromStr<Err: fmt::Display>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(Text(value)) = elements.next_element()? {
            values.push(value);
        }
        Ok(values)
    }
}
