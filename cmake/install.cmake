# What a package holds. Paths follow GNUInstallDirs, but for those that systemd, bash and the configuration prescribe.
include(GNUInstallDirs)
set(REPL_UNIT_DIR "lib/systemd/system" CACHE STRING "Where units go, below the prefix")
set(REPL_SYSUSERS_DIR "lib/sysusers.d" CACHE STRING "Where sysusers.d(5) files go, below the prefix")
set(REPL_TMPFILES_DIR "lib/tmpfiles.d" CACHE STRING "Where tmpfiles.d(5) files go, below the prefix")

install(TARGETS repl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# The unit names the installed program, wherever that is.
file(READ ${PROJECT_SOURCE_DIR}/systemd/repl@.service repl_unit)
string(REPLACE "/usr/bin/repl" "${CMAKE_INSTALL_FULL_BINDIR}/repl" repl_unit "${repl_unit}")
file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/systemd/repl@.service CONTENT "${repl_unit}")
install(FILES ${PROJECT_BINARY_DIR}/systemd/repl@.service DESTINATION ${REPL_UNIT_DIR})
install(FILES systemd/repl.sysusers DESTINATION ${REPL_SYSUSERS_DIR} RENAME repl.conf)
install(FILES systemd/repl.tmpfiles DESTINATION ${REPL_TMPFILES_DIR} RENAME repl.conf)
install(FILES packaging/repl.bash-completion DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME repl)
install(FILES docs/examples/repl.toml docs/examples/homes-over-ssh.toml
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/repl/examples)
install(PROGRAMS docs/examples/hook-mail docs/examples/hook-services
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/repl/examples)
file(GLOB repl_documents ${PROJECT_SOURCE_DIR}/docs/*.md)
if(repl_documents)
  install(FILES ${repl_documents} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/repl)
endif()

find_program(SCDOC scdoc)
if(SCDOC)
  foreach(page repl.1 repl.toml.5)
    string(REGEX MATCH "[0-9]$" section ${page})
    set(source ${PROJECT_SOURCE_DIR}/docs/man/${page}.scd)
    set(output ${PROJECT_BINARY_DIR}/man/${page})
    # scdoc reads standard input and writes standard output.
    add_custom_command(OUTPUT ${output}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/man
      COMMAND sh -c "\"$1\" < \"$2\" > \"$3\"" scdoc ${SCDOC} ${source} ${output}
      DEPENDS ${source} VERBATIM)
    list(APPEND repl_man_pages ${output})
    install(FILES ${output} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endforeach()
  add_custom_target(man ALL DEPENDS ${repl_man_pages})
else()
  message(STATUS "scdoc not found: man pages are not built")
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME repl)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The repl authors <repl@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "openssh-client")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/packaging/postinst")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
