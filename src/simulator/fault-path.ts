/** A path without a query. A fault affects the requests for its path, with every query. */
export const FAULT_PATH = /^\/[^?#]*$/
