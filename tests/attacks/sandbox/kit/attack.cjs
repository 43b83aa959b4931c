// What hostile JavaScript programs share.
"use strict";
const breach = (what) => console.log(`BREACH: ${what}`);
const must_fail = (what, action) => {
  let value;
  try {
    value = action();
  } catch {
    return;
  }
  breach(`${what}: ${value}`);
};
const held = () => console.log("held");
module.exports = { breach, must_fail, held };
