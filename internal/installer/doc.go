// SPDX-License-Identifier: Apache-2.0

// Package installer puts the CNI plugin, and reference plugins that are missing, into the directories of a node in which its
// container runtime and Multus look for plugins, keeps them there, and takes them away again.
//
// Which directories these are is read from the host's own configuration (containerd, CRI-O, Multus) and from a table of
// platforms; platforms.go has the table.
//
// # Whose a file is
//
//	file at the name of         is ours if                                              then                not ours
//	macpool                     the build information in it names our main package,     replaced, removed   an error; left as it is, unless
//	                            or the record has its checksum                                              the record says that ours was
//	                                                                                                        there: then set aside
//	a reference plugin          the record has its checksum                             replaced, removed   left as it is
//	anything but a file         never: nothing is written through a link                                    as above
//
// A checksum is recorded before the file with it appears, so that a kill between the two leaves nothing that is ours and not
// known to be. A file appears under its name by one rename or link, whole and synced; what a kill left half-written has a name
// of its own and is swept. What is replaced or removed is looked at again after it was taken from its name, and put back if it is not what was
// seen there (exchange.go).
package installer
