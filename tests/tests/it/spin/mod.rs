//! The component under Spin's rules.

mod load;
