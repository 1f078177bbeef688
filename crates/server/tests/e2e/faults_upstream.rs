//! Every way in which an engine elsewhere fails, judged from its own log: what the client is told,
//! who is asked, and what is paid.

mod after_the_first_byte;
mod before_the_first_byte;
mod nobody_answers;
mod odd_shapes;
mod other_routes;
mod pair;
