//! The fields of a format: their names, declared once, and the values that one record has for them.

use std::net::IpAddr;

use super::reject::Reject;
use super::scalar::{Scalar, Unit};
use super::tree::Leaves;
use crate::model::{Defects, Timestamp};

/// Declares the fields of a format as an enum with the names they are written with.
macro_rules! fields {
    ($(#[$doc:meta])* $kind:ident { $($field:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $kind {
            $($field,)*
        }

        impl $kind {
            /// The names, in the order of the variants.
            const NAMES: &[&str] = &[$($name,)*];

            /// The place of a name among the values of a record.
            fn place_of(name: &str) -> Option<usize> {
                Self::NAMES.iter().position(|known| *known == name)
            }
        }

        impl $crate::formats::fields::Field for $kind {
            fn place(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }
        }
    };
}
pub(super) use fields;

/// One field of a format.
pub(super) trait Field: Copy + 'static {
    /// Its place among the values of a record.
    fn place(self) -> usize;
    /// The name as it is written.
    fn name(self) -> &'static str;
}

/// The values of one record.
///
/// What is asked for by several fields is taken from the first that holds something: exporters have
/// several words for the same.
pub(super) struct Values<'a, const COUNT: usize>(pub(super) [Scalar<'a>; COUNT]);

impl<const COUNT: usize> Default for Values<'_, COUNT> {
    fn default() -> Self {
        Self([const { Scalar::Absent }; COUNT])
    }
}

/// The first value of each field counts.
impl<'a, const COUNT: usize> Leaves<'a> for Values<'a, COUNT> {
    fn keep(&mut self, place: usize, value: Scalar<'a>) {
        if let Some(kept) = self.0.get_mut(place)
            && kept.is_absent()
        {
            *kept = value;
        }
    }
}

impl<'a, const COUNT: usize> Values<'a, COUNT> {
    pub(super) fn get(&self, field: impl Field) -> &Scalar<'a> {
        self.0.get(field.place()).unwrap_or(&Scalar::Absent)
    }

    /// Whether any of the fields was written, be it as the empty text.
    pub(super) fn has_any(&self, fields: &[impl Field]) -> bool {
        fields.iter().any(|&field| *self.get(field) != Scalar::Absent)
    }

    /// Returns the first of the fields that holds something: its name and the value.
    pub(super) fn first(&self, fields: &[impl Field]) -> (&'static str, &Scalar<'a>) {
        let holds = |field: &&_| !self.get(**field).is_absent();
        match fields.iter().find(holds).or(fields.first()) {
            Some(&field) => (field.name(), self.get(field)),
            None => ("", &Scalar::Absent),
        }
    }

    pub(super) fn text(&self, field: impl Field) -> Result<Option<&str>, Reject> {
        self.get(field).text(field.name())
    }

    /// As [`Scalar::time`]; a field that is 0 gives way to the next.
    pub(super) fn time(
        &self,
        fields: &[impl Field],
        unit: Unit,
    ) -> Result<Option<Timestamp>, Reject> {
        for &field in fields {
            if let Some(time) = self.get(field).time(field.name(), unit)? {
                return Ok(Some(time));
            }
        }
        Ok(None)
    }

    /// As [`Scalar::address`]; all-zero stands for absent.
    pub(super) fn address(&self, fields: &[impl Field]) -> Result<Option<IpAddr>, Reject> {
        for &field in fields {
            let found = self.get(field).address(field.name())?;
            if let Some(ip) = found.filter(|ip| !ip.is_unspecified()) {
                return Ok(Some(ip));
            }
        }
        Ok(None)
    }

    /// As [`Scalar::number`].
    pub(super) fn number<T: TryFrom<u64>>(
        &self,
        fields: &[impl Field],
    ) -> Result<Option<T>, Reject> {
        let (name, value) = self.first(fields);
        value.number(name)
    }

    /// As [`Scalar::detail`].
    pub(super) fn detail<T: TryFrom<u64>>(
        &self,
        fields: &[impl Field],
    ) -> Result<Option<T>, Reject> {
        let (name, value) = self.first(fields);
        value.detail(name)
    }

    /// As [`Scalar::count`].
    pub(super) fn count(
        &self,
        fields: &[impl Field],
        defects: &mut Defects,
    ) -> Result<Option<u64>, Reject> {
        let (name, value) = self.first(fields);
        value.count(name, defects)
    }
}
