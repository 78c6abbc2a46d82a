package journal

// noFollow is for systems that can open a file without following a link.
const noFollow = 0
