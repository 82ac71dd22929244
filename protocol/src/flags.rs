//! Code that the two sets of flags have in common.

/// Defines a set of flags that keeps unknown bits, since a proxy passes on what it cannot name.
macro_rules! flags {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($bits:ty) {
            $($(#[$flag_meta:meta])* $flag:ident = $value:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
        pub struct $name($bits);

        impl $name {
            $($(#[$flag_meta])* pub const $flag: Self = Self($value);)*

            /// No flag.
            pub const fn empty() -> Self {
                Self(0)
            }

            /// The set with exactly these bits; unknown ones are kept.
            pub const fn from_bits(bits: $bits) -> Self {
                Self(bits)
            }

            /// The bits as they are on the wire.
            pub const fn bits(self) -> $bits {
                self.0
            }

            /// Whether every flag of `other` is set here.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether any flag of `other` is set here.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Whether no flag is set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Sets every flag of `other`.
            pub const fn insert(&mut self, other: Self) {
                self.0 |= other.0;
            }

            /// Clears every flag of `other`.
            pub const fn remove(&mut self, other: Self) {
                self.0 &= !other.0;
            }

            /// The flags set here or in `other`.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The flags set both here and in `other`.
            #[must_use]
            pub const fn intersection(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// The flags set here but not in `other`.
            #[must_use]
            pub const fn difference(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.union(other)
            }
        }

        /// Names the flags; bits without a name are printed in hex at the end.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut rest = self.0;
                let mut separator = "";
                write!(f, concat!(stringify!($name), "("))?;
                $(
                    if rest & $value != 0 {
                        rest &= !$value;
                        write!(f, "{separator}{}", stringify!($flag))?;
                        separator = " | ";
                    }
                )*
                if rest != 0 {
                    write!(f, "{separator}{rest:#x}")?;
                }
                write!(f, ")")
            }
        }
    };
}

pub(crate) use flags;
