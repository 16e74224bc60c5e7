//! The filter language: which values a `list` or `search` may return.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::validate::{Json, parse};

/// A compiled filter; every condition must hold.
///
/// A field is a dotted path of dict keys (`"address.city"`); a path that runs into anything but a dict, or a key
/// that is not there, is a missing field. `$eq` and `$in` compare by value: `1` equals `1.0`, a dict in any order,
/// `true` never equals `1`. `$gt $gte $lt $lte` order numbers against numbers and texts against texts (by code
/// point); between other types, and for a missing field, they do not hold. `$ne` and `$nin` are the exact opposite
/// of `$eq` and `$in`, so they hold for a missing field.
#[derive(Debug, Clone)]
pub struct Filter {
    json: String,
}

#[derive(Debug)]
struct Condition<'a> {
    path: Cow<'a, str>,
    test: Test<'a>,
}

#[derive(Debug)]
enum Test<'a> {
    Equal(Json<'a>),
    NotEqual(Json<'a>),
    Order(Json<'a>, fn(Ordering) -> bool),
    In(Vec<Json<'a>>),
    NotIn(Vec<Json<'a>>),
    Exists(bool),
}

const OPERATORS: &str = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists";

impl Filter {
    /// Compiles a filter from its JSON.
    ///
    /// # Errors
    /// [`Error::InvalidFilter`] for an unknown operator or an operand it cannot take.
    pub fn new(json: String) -> Result<Self> {
        let filter = Self { json };
        filter.compile()?;
        Ok(filter)
    }

    /// The text it was compiled from.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The conditions, ready to hold against values.
    ///
    /// # Errors
    /// None after [`Self::new`] has accepted the same text.
    pub fn matcher(&self) -> Result<Matcher<'_>> {
        Ok(Matcher { conditions: self.compile()? })
    }

    fn compile(&self) -> Result<Vec<Condition<'_>>> {
        let json = parse(&self.json).map_err(|_| wrong("a filter is a dict".to_owned()))?;
        let Json::Dict(fields) = json else {
            return Err(wrong("a filter is a dict of fields, such as {\"city\": \"Oslo\"}".to_owned()));
        };
        let mut conditions = Vec::new();
        for (path, operand) in fields {
            if path.is_empty() || path.split('.').any(str::is_empty) {
                return Err(wrong(format!("the field {path:?} is no dotted path of keys")));
            }
            if path.starts_with('$') {
                return Err(wrong(format!(
                    "{path:?} stands where a field belongs; operators ({OPERATORS}) go inside a field's dict"
                )));
            }
            match operand {
                Json::Dict(tests) if tests.iter().any(|(name, _)| name.starts_with('$')) => {
                    for (name, operand) in tests {
                        let test = test(&path, &name, operand)?;
                        conditions.push(Condition { path: path.clone(), test });
                    }
                }
                value => conditions.push(Condition { path, test: Test::Equal(value) }),
            }
        }
        Ok(conditions)
    }
}

fn wrong(text: String) -> Error {
    Error::InvalidFilter(text)
}

fn test<'a>(path: &str, name: &str, operand: Json<'a>) -> Result<Test<'a>> {
    let order = |operand: Json<'a>, holds: fn(Ordering) -> bool| match operand {
        Json::Number(_) | Json::Text(_) => Ok(Test::Order(operand, holds)),
        _ => Err(wrong(format!("{name} of field {path:?} takes a number or a text"))),
    };
    let list = |operand: Json<'a>| match operand {
        Json::List(items) => Ok(items),
        _ => Err(wrong(format!("{name} of field {path:?} takes a list"))),
    };
    match name {
        "$eq" => Ok(Test::Equal(operand)),
        "$ne" => Ok(Test::NotEqual(operand)),
        "$gt" => order(operand, Ordering::is_gt),
        "$gte" => order(operand, Ordering::is_ge),
        "$lt" => order(operand, Ordering::is_lt),
        "$lte" => order(operand, Ordering::is_le),
        "$in" => Ok(Test::In(list(operand)?)),
        "$nin" => Ok(Test::NotIn(list(operand)?)),
        "$exists" => match operand {
            Json::Bool(wanted) => Ok(Test::Exists(wanted)),
            _ => Err(wrong(format!("$exists of field {path:?} takes True or False"))),
        },
        other => Err(wrong(format!("{other:?} of field {path:?} is no operator; there are {OPERATORS}"))),
    }
}

/// A filter compiled for one run over values.
#[derive(Debug)]
pub struct Matcher<'a> {
    conditions: Vec<Condition<'a>>,
}

impl Matcher<'_> {
    /// Whether the value with this JSON satisfies every condition.
    ///
    /// # Errors
    /// [`Error::StorageCorrupt`] when it is no JSON.
    pub fn accepts(&self, value: &str) -> Result<bool> {
        let value = parse(value)?;
        Ok(self.conditions.iter().all(|condition| condition.holds(&value)))
    }
}

impl Condition<'_> {
    fn holds(&self, value: &Json<'_>) -> bool {
        let field = self.path.split('.').try_fold(value, |value, key| value.get(key));
        match &self.test {
            Test::Equal(wanted) => field.is_some_and(|field| field.same(wanted)),
            Test::NotEqual(wanted) => !field.is_some_and(|field| field.same(wanted)),
            Test::Order(bound, holds) => field.and_then(|field| field.order(bound)).is_some_and(holds),
            Test::In(wanted) => field.is_some_and(|field| wanted.iter().any(|w| field.same(w))),
            Test::NotIn(wanted) => !field.is_some_and(|field| wanted.iter().any(|w| field.same(w))),
            Test::Exists(wanted) => field.is_some() == *wanted,
        }
    }
}
