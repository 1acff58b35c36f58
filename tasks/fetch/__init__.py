"""Files from elsewhere.

downloads   what was fetched once and hashed
archives    members of wheels, tar files and zip files, nothing outside their folder
package     a pinned package of the Python index
"""
